"""PersistentVolumeClaimResize: a bound claim may grow when its storage class allows that."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind
from kybern.api.storage.matching import wanted_size
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.refusal import forbidden

__all__ = ["PersistentVolumeClaimResize"]


class PersistentVolumeClaimResize(Admission):
    """Refuses to grow what cannot grow."""

    name = "PersistentVolumeClaimResize"
    order = 180

    def __init__(self, classes: Lookup[Any]) -> None:
        self._classes = classes

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return operation == "UPDATE" and not subresource and not kind.group and kind.kind == "PersistentVolumeClaim"

    async def validate(self, request: AdmissionRequest) -> None:
        old, new = request.old, request.object
        if wanted_size(new) <= wanted_size(old):
            return
        if old.status.phase != "Bound":
            raise forbidden(request, "Only bound persistent volume claims can be expanded")
        storage_class = await self._classes.get(old.spec.storageClassName) if old.spec.storageClassName else None
        if storage_class is None or not storage_class.allowVolumeExpansion:
            what = "only dynamically provisioned pvc can be resized"
            raise forbidden(request, f"{what} and the storageclass that provisions the pvc must support resize")
