"""DefaultStorageClass: a claim that names no storage class gets the default one."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind
from kybern.api.time import parse_time
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup

__all__ = ["DefaultStorageClass"]

DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BETA = "storageclass.beta.kubernetes.io/is-default-class"
_CLAIM_CLASS = "volume.beta.kubernetes.io/storage-class"


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
        if claim.spec.storageClassName is not None or _CLAIM_CLASS in (claim.metadata.annotations or {}):
            return
        defaults = [c for c in self._classes.list() if _is_default(c)]
        if defaults:
            claim.spec.storageClassName = min(defaults, key=_newest_first).metadata.name


def _is_default(storage_class: Any) -> bool:
    annotations = storage_class.metadata.annotations or {}
    return "true" in (annotations.get(DEFAULT), annotations.get(_BETA))


def _newest_first(storage_class: Any) -> tuple[float, str]:
    """With several defaults the newest counts, then the name."""
    created = storage_class.metadata.creationTimestamp
    return (-parse_time(created) if created else 0.0, storage_class.metadata.name)
