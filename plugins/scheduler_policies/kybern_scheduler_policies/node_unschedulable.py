"""NodeUnschedulable: a cordoned node takes only pods that tolerate it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo, Taint
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Snapshot
from kybern.scheduler.taints import tolerates

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
REASON = "node(s) were unschedulable"


class NodeUnschedulable(Policy):
    """Filters by `spec.unschedulable`."""

    name = "NodeUnschedulable"
    default = True

    def hints(self) -> Iterable[Hint]:
        """A node that is uncordoned or new, or a new toleration."""
        return (
            Hint(
                Resource.NODE, Action.ADD | Action.UPDATE_NODE_TAINT, lambda pod, old, new: not new.spec.unschedulable
            ),
            Hint(Resource.TARGET_POD, Action.UPDATE_POD_TOLERATION),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Nothing to do while no node is cordoned, or for a pod that does not mind."""
        return SKIP if not snapshot.cordoned or _does_not_mind(pod.pod) else None

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object to a cordoned node."""
        return self.unresolvable(REASON) if info.unschedulable and not _does_not_mind(pod.pod) else None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The nodes that are not cordoned."""
        if _does_not_mind(pod.pod):
            return None
        open_: Mask = snapshot.columns.unschedulable == 0
        return open_

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """There is only one objection."""
        return None


def _does_not_mind(pod: Any) -> bool:
    return any(tolerates(t, CORDON) for t in pod.spec.tolerations or ())
