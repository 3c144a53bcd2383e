"""The volumes of a pod as the volume policies see them: its claims, their volumes and classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from kybern.api.storage.classes import class_of
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Handle
from kybern.scheduler.selection import NodeTerm

BOUND = "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT = "WaitForFirstConsumer"


@attrs.frozen
class ClaimRef:
    """A claim that a pod mounts. An ephemeral one is made for the pod and bears its name."""

    name: str
    ephemeral: bool


def claims_of(pod: PodInfo) -> Iterable[ClaimRef]:
    """The claims that a pod mounts, in order."""
    for volume in pod.pod.spec.volumes or ():
        if volume.persistentVolumeClaim is not None:
            yield ClaimRef(volume.persistentVolumeClaim.claimName, False)
        elif volume.ephemeral is not None:
            yield ClaimRef(f"{pod.name}-{volume.name}", True)


class Volumes:
    """Looks up claims, volumes and classes."""

    def __init__(self, handle: Handle) -> None:
        from kybern.api.core import PersistentVolume, PersistentVolumeClaim
        from kybern.api.storage import CSIDriver, StorageClass

        self._drivers = handle.informer(CSIDriver)
        self._claims = handle.informer(PersistentVolumeClaim)
        self._volumes = handle.informer(PersistentVolume)
        self._classes = handle.informer(StorageClass)

    def claim(self, name: str, namespace: str) -> Any:
        """The PersistentVolumeClaim, or None."""
        return self._claims.get(name, namespace)

    def volume(self, name: str) -> Any:
        """The PersistentVolume, or None."""
        return self._volumes.get(name) if name else None

    def volumes(self) -> list[Any]:
        """All PersistentVolumes."""
        return self._volumes.list()

    def storage_class(self, claim: Any) -> Any:
        """The claim's StorageClass, or None."""
        name = class_of(claim)
        return self._classes.get(name) if name else None

    def driver(self, name: str) -> Any:
        """The CSIDriver, or None."""
        return self._drivers.get(name)

    def waits_for_consumer(self, claim: Any) -> bool:
        """Whether the claim is bound only when a pod that uses it has a node."""
        found = self.storage_class(claim)
        return found is not None and found.volumeBindingMode == WAIT


def is_bound(claim: Any) -> bool:
    """Whether the claim has its volume for good."""
    if not claim.spec.volumeName:
        return False
    return claim.status.phase == "Bound" or BOUND in (claim.metadata.annotations or {})


def reaches(volume: Any, info: NodeInfo) -> bool:
    """Whether the volume can be used on the node."""
    affinity = volume.spec.nodeAffinity
    if affinity is None or affinity.required is None:
        return True
    return any(NodeTerm(term).matches(info) for term in affinity.required.nodeSelectorTerms or ())
