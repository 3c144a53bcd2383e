"""StorageObjectInUseProtection: finalizers that keep volumes and claims until nothing uses them."""

from __future__ import annotations

from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest

__all__ = ["StorageObjectInUseProtection"]

FINALIZERS = {
    ("", "PersistentVolume"): "kubernetes.io/pv-protection",
    ("", "PersistentVolumeClaim"): "kubernetes.io/pvc-protection",
    ("storage.k8s.io", "VolumeAttributesClass"): "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Admission):
    """Adds the finalizer; the protection controllers take it away."""

    name = "StorageObjectInUseProtection"
    order = 120

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and not subresource and (kind.group, kind.kind) in FINALIZERS

    async def mutate(self, request: AdmissionRequest) -> None:
        finalizer = FINALIZERS[request.kind.group, request.kind.kind]
        metadata = request.object.metadata
        if finalizer not in (metadata.finalizers or ()):
            metadata.finalizers = [*(metadata.finalizers or ()), finalizer]
