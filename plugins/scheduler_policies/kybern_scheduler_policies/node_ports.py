"""NodePorts: two pods cannot have the same host port on one node."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo, Port
from kybern.scheduler.policy import SKIP, Action, CycleState, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Snapshot

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

REASON = "node(s) didn't have free ports for the requested pod ports"


class NodePorts(Policy):
    """Filters by `hostPort`."""

    name = "NodePorts"
    default = True

    def hints(self) -> Iterable[Hint]:
        """A pod with one of the ports that goes, or a new node."""
        return (
            Hint(Resource.ASSIGNED_POD, Action.DELETE, lambda pod, old, new: _conflict(pod, PodInfo(old).ports)),
            Hint(Resource.NODE, Action.ADD),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Most pods have no host port."""
        return None if pod.ports else SKIP

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where a port is taken."""
        return self.unschedulable(REASON) if info.ports and _conflict(pod, info.ports) else None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The nodes without a pod that has one of the ports; the snapshot keeps count."""
        passed: Mask = snapshot.numpy.ones(len(snapshot.nodes), dtype=bool)
        for port in pod.ports:
            passed &= snapshot.count_pods(port, partial(_takes, port)) == 0
        return passed

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """There is only one objection."""
        return None


def _takes(port: Port, pod: PodInfo) -> bool:
    return any(port.conflicts(taken) for taken in pod.ports)


def _conflict(pod: PodInfo, taken: Iterable[Any]) -> bool:
    return any(mine.conflicts(theirs) for theirs in taken for mine in pod.ports)
