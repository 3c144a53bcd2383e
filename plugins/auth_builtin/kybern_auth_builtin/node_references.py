"""What a node needs to see because of the pods that are bound to it.

Instead of a graph of its own, the node authorizer keeps one index on the pod informer: every pod is
found under each object it refers to, together with its node. A secret that a volume needs is found
by way of the volume's claim. The indexes are made with the first request of a node: nodes inside
this process do not come by here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kybern.api.pod_references import DRIVERS_WITH_SECRET, driver_secrets, pod_references

if TYPE_CHECKING:
    from kybern.reconcile.informers import Informers

__all__ = ["NodeReferences"]

_INDEX = "node-references"
_BY_SECRET = "volumes-by-secret"
_MIRROR = "kubernetes.io/config.mirror"
_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "nodeStageSecretRef",
    "nodePublishSecretRef",
    "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)


class NodeReferences:
    """Answers whether an object has to do with a node."""

    def __init__(self, informers: Informers) -> None:
        from kybern.api.core import PersistentVolume, Pod
        from kybern.api.resource import ResourceSlice
        from kybern.api.storage import VolumeAttachment

        self._pods = informers.informer(Pod)
        self._volumes = informers.informer(PersistentVolume)
        self._attachments = informers.informer(VolumeAttachment)
        self._slices = informers.informer(ResourceSlice)
        self._pods.add_index(_INDEX, _pod_references)
        self._volumes.add_index(_BY_SECRET, _volume_secrets)

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether the node may read that object."""
        match resource:
            case "pods":
                pod = self._pods.get(name, namespace)
                return pod is not None and pod.spec.nodeName == node
            case "volumeattachments":
                attachment = self._attachments.get(name)
                return attachment is not None and attachment.spec.nodeName == node
            case "resourceslices":
                piece = self._slices.get(name)
                return piece is not None and piece.spec.nodeName == node
            case "persistentvolumes":
                volume = self._volumes.get(name)
                return volume is not None and self._uses(node, volume)
            case "secrets" if self._by_volume(node, namespace, name):
                return True
        return self._by_pod(node, resource, namespace, name)

    def _by_pod(self, node: str, resource: str, namespace: str, name: str) -> bool:
        return bool(self._pods.by_index(_INDEX, f"{node} {resource} {namespace}/{name}"))

    def _by_volume(self, node: str, namespace: str, secret: str) -> bool:
        return any(self._uses(node, volume) for volume in self._volumes.by_index(_BY_SECRET, f"{namespace}/{secret}"))

    def _uses(self, node: str, volume: Any) -> bool:
        """Whether a pod on the node uses the claim that the volume is bound to."""
        claim = volume.spec.claimRef
        return bool(claim) and self._by_pod(node, "persistentvolumeclaims", claim.namespace or "", claim.name or "")


def _pod_references(pod: Any) -> Iterator[str]:
    """Index values. A mirror pod is the node's own statement, so it gives the node no rights."""
    node = pod.spec.nodeName
    if not node or _MIRROR in (pod.metadata.annotations or {}):
        return
    namespace = pod.metadata.namespace
    for resource, name in set(pod_references(pod)):
        yield f"{node} {resource} {namespace}/{name}"


def _volume_secrets(volume: Any) -> Iterator[str]:
    """`namespace/name` of the secrets that mounting a persistent volume takes."""
    spec = volume.spec
    default = (spec.claimRef.namespace or "") if spec.claimRef else ""
    if spec.csi:
        for field in _CSI_SECRETS:
            reference = getattr(spec.csi, field, None)
            if reference:
                yield f"{reference.namespace or default}/{reference.name}"
    for driver in DRIVERS_WITH_SECRET:
        for namespace, name in driver_secrets(getattr(spec, driver, None), default):
            yield f"{namespace}/{name}"
