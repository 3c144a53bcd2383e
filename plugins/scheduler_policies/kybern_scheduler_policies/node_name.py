"""NodeName: a pod that names its node may run only there."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Snapshot

REASON = "node(s) didn't match the requested node name"


class NodeName(Policy):
    """Filters by `spec.nodeName`."""

    name = "NodeName"
    default = True

    def hints(self) -> Iterable[Hint]:
        """A node of that name."""
        return (Hint(Resource.NODE, Action.ADD, lambda pod, old, new: new.metadata.name == pod.pod.spec.nodeName),)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Almost no pod in the queue names its node."""
        return None if pod.pod.spec.nodeName else SKIP

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object to all other nodes."""
        wanted = pod.pod.spec.nodeName
        return self.unresolvable(REASON) if wanted and wanted != info.name else None
