"""DefaultStorageClass: a claim that names no storage class gets the default one."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind
from kybern.api.storage.classes import default_class, has_no_class
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup

__all__ = ["DefaultStorageClass"]


class DefaultStorageClass(Admission):
    """Fills in `spec.storageClassName`."""

    name = "DefaultStorageClass"
    order = 110

    def __init__(self, classes: Lookup[Any]) -> None:
        self._classes = classes

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and not subresource and not kind.group and kind.kind == "PersistentVolumeClaim"

    async def mutate(self, request: AdmissionRequest) -> None:
        claim = request.object
        default = default_class(self._classes.list()) if has_no_class(claim) else None
        if default is not None:
            claim.spec.storageClassName = default.metadata.name
