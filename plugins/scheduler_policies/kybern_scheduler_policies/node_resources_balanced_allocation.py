"""NodeResourcesBalancedAllocation: prefers nodes whose resources would be used more evenly with the pod."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import MAX_SCORE, SKIP, CycleState, Handle, Hint, Policy, Status
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern_scheduler_policies.resource_scoring import concerning, only_fields, read_resources

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints

HALF = MAX_SCORE // 2


class NodeResourcesBalancedAllocation(Policy):
    """Scores by how the pod changes the deviation between the used fractions of the node's resources."""

    name = "NodeResourcesBalancedAllocation"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """NodeResourcesBalancedAllocationArgs: resources."""
        super().__init__(args, handle)
        only_fields(args, {"resources"}, "NodeResourcesBalancedAllocationArgs")
        self._resources = read_resources(args.get("resources"), "resources")

    def hints(self) -> Iterable[Hint]:
        """It rejects nobody."""
        return ()

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """A pod without requests changes nothing, and must not be drawn to the node that is balanced by chance."""
        names = [name for name, _ in concerning(self._resources, pod)]
        if not any(pod.requests.get(name) for name in names):
            return SKIP
        state.data[self.name] = names
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """75 where the pod changes nothing, up to 100 where it evens out, down to 50 where it unbalances."""
        before: list[float] = []
        after: list[float] = []
        for name in state.data[self.name]:
            capacity = info.allocatable.get(name, 0)
            if capacity:
                used = info.requested.get(name, 0)
                before.append(min(used / capacity, 1.0))
                after.append(min((used + pod.requests.get(name, 0)) / capacity, 1.0))
        return HALF + (HALF + _evenness(after) - _evenness(before)) // 2

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """The same for many; exact only where all nodes have all resources, else node by node."""
        numpy, columns = snapshot.numpy, snapshot.columns
        names: list[str] = state.data[self.name]
        capacities = [columns.allocatable(name)[rows] for name in names]
        if len(names) != 2 or not all(c.all() for c in capacities):
            nodes = snapshot.nodes
            return numpy.array([self.score(state, pod, nodes[r]) for r in rows], dtype=numpy.int64)  # type: ignore[no-any-return]
        used = [columns.requested(name)[rows] for name in names]
        before = _evenness_all([u / c for u, c in zip(used, capacities, strict=True)], numpy)
        more = [u + pod.requests.get(name, 0) for u, name in zip(used, names, strict=True)]
        after = _evenness_all([u / c for u, c in zip(more, capacities, strict=True)], numpy)
        scores: Ints = HALF + (HALF + after - before) // 2
        return scores


def _evenness_all(fractions: Sequence[Any], numpy: Any) -> Ints:
    """`_evenness` of two resources on many nodes."""
    first, second = (numpy.minimum(f, 1.0) for f in fractions)
    evenness: Ints = ((1 - numpy.abs((first - second) / 2)) * float(MAX_SCORE)).astype(numpy.int64)
    return evenness


def _evenness(fractions: Sequence[float]) -> int:
    """100 when all are equal, 50 when they differ as much as they can."""
    if len(fractions) == 2:
        deviation = abs((fractions[0] - fractions[1]) / 2)
    elif len(fractions) > 2:
        total = 0.0
        for fraction in fractions:
            total += fraction
        mean = total / len(fractions)
        squares = 0.0
        for fraction in fractions:
            squares += (fraction - mean) * (fraction - mean)
        deviation = math.sqrt(squares / len(fractions))
    else:
        deviation = 0.0
    return int((1 - deviation) * float(MAX_SCORE))
