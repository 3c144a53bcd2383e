"""VolumeZone: a volume labelled with a zone or region is used only there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Snapshot
from kybern_scheduler_policies.volume_claims import Volumes, claims_of, is_bound

REASON = "node(s) had no available volume zone"
LABELS = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
"""Each label with the name it had before it was stable."""


class VolumeZone(Policy):
    """Filters by the topology labels of PersistentVolumes."""

    name = "VolumeZone"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        super().__init__(args, handle)
        self._volumes = Volumes(handle)

    def hints(self) -> Iterable[Hint]:
        """New claims, volumes and nodes."""
        return (
            Hint(Resource.PVC, Action.ADD | Action.UPDATE),
            Hint(Resource.PV, Action.ADD | Action.UPDATE),
            Hint(Resource.STORAGE_CLASS, Action.ADD),
            Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_LABEL),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Collect what the labels of bound volumes allow."""
        allowed: list[tuple[str, frozenset[str]]] = []
        for ref in claims_of(pod):
            claim = self._volumes.claim(ref.name, pod.namespace)
            if claim is None:
                return self.unresolvable(f'persistentvolumeclaim "{ref.name}" not found')
            volume = self._volumes.volume(claim.spec.volumeName) if is_bound(claim) else None
            labels = (volume.metadata.labels if volume is not None else None) or {}
            for label in (*LABELS, *LABELS.values()):
                if label in labels:
                    allowed.append((label, frozenset(labels[label].split("__"))))
        if not allowed:
            return SKIP
        state.data[self.name] = allowed
        return None

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object to nodes elsewhere; a node without any topology label may be anywhere."""
        known = (*LABELS, *LABELS.values())
        if not any(label in info.labels for label in known):
            return None
        for label, values in state.data[self.name]:
            if _value(info.labels, label) not in values:
                return self.unresolvable(REASON)
        return None


def _value(labels: Mapping[str, str], label: str) -> str | None:
    """The node's value, also under the label's other name."""
    if label in labels:
        return labels[label]
    for new, old in LABELS.items():
        if label in (new, old):
            return labels.get(new, labels.get(old))
    return None
