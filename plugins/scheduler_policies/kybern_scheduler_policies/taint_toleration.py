"""TaintToleration: a pod goes only to nodes whose taints it tolerates, and rather to those without soft taints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo, Taint
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Hint, Policy, Resource, Status, normalized
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern.scheduler.taints import first_untolerated, tolerates

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

REASON = "node(s) had untolerated taint(s)"
SOFT = "PreferNoSchedule"


class TaintToleration(Policy):
    """Filters by NoSchedule and NoExecute taints, scores by PreferNoSchedule ones."""

    name = "TaintToleration"
    weight = 3
    default = True

    def hints(self) -> Iterable[Hint]:
        """A node whose taints the pod now tolerates, or a new toleration."""
        return (
            Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_TAINT, _tolerates_node),
            Hint(Resource.TARGET_POD, Action.UPDATE_POD_TOLERATION),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Nothing to do while no node has such a taint."""
        return None if snapshot.hard_taints else SKIP

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object to the first taint that is not tolerated."""
        if info.taints and first_untolerated(pod.pod.spec.tolerations, info.taints) is not None:
            return self.unresolvable(REASON)
        return None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """One answer per different set of taints, looked up for every node."""
        tolerations = pod.pod.spec.tolerations
        answers = [first_untolerated(tolerations, taints) is None for taints in snapshot.taint_sets]
        passed: Mask = snapshot.numpy.array(answers)[snapshot.columns.taint_set]
        return passed

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """There is only one objection."""
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """All nodes are equal while none has a soft taint."""
        if not self.handle.snapshot.soft_taints:
            return SKIP
        state.data[self.name] = [t for t in pod.pod.spec.tolerations or () if t.effect in (None, "", SOFT)]
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """The number of soft taints that are not tolerated; the fewer the better."""
        return _intolerable(info.taints, state.data[self.name])

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """The same, per set of taints."""
        counts = [_intolerable(taints, state.data[self.name]) for taints in snapshot.taint_sets]
        scores: Ints = snapshot.numpy.array(counts, dtype=snapshot.numpy.int64)[snapshot.columns.taint_set[rows]]
        return scores

    def normalize(self, state: CycleState, pod: PodInfo, infos: Candidates, scores: Any) -> Any:
        """Fewest become best."""
        return normalized(scores, reverse=True)


def _intolerable(taints: Iterable[Taint], tolerations: Sequence[Any]) -> int:
    return sum(t.effect == SOFT and not any(tolerates(x, t) for x in tolerations) for t in taints)


def _tolerates_node(pod: PodInfo, old: Any, new: Any) -> bool:
    taints = [Taint(t.key, t.value or "", t.effect) for t in new.spec.taints or ()]
    return first_untolerated(pod.pod.spec.tolerations, taints) is None
