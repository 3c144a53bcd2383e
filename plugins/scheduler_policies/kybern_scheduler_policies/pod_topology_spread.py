"""PodTopologySpread: spreads pods that belong together over zones, nodes or any other label of nodes (KEP-895)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.columns import LabelColumn, sums
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import MAX_SCORE, SKIP, Action, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern_scheduler_policies.spread_constraints import Constraint, Constraints, Eligibility

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

REASON = "node(s) didn't match pod topology spread constraints"
REASON_LABEL = REASON + " (missing required label)"
HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"
HOSTNAME = "kubernetes.io/hostname"
_MANY = 2**31 - 1


class _Domains:
    """A hard constraint with the number of matching pods in each domain, by the number of its label value."""

    __slots__ = ("_least", "column", "constraint", "counts", "present", "self_match")

    def __init__(
        self, constraint: Constraint, column: LabelColumn, counts: Any, present: Any, self_match: bool
    ) -> None:
        self.constraint = constraint
        self.column = column
        self.counts = counts
        self.present = present
        self.self_match = int(self_match)
        self._least: int | None = None

    def clone(self) -> _Domains:
        return _Domains(self.constraint, self.column, self.counts[:].copy(), self.present, bool(self.self_match))

    def change(self, row: int, sign: int) -> None:
        i = self.column.ids[row]
        if i >= 0:
            self.counts[i] += sign
            self._least = None

    @property
    def least(self) -> int:
        """Pods in the emptiest domain; 0 when there are fewer domains than `minDomains`."""
        if self._least is None:
            if isinstance(self.counts, list):
                found = [c for c, nodes in zip(self.counts, self.present, strict=True) if nodes]
            else:
                found = self.counts[self.present > 0]
            enough = len(found) >= self.constraint.min_domains
            self._least = _least(found) if enough else 0
        return self._least

    def fits(self, count: Any) -> Any:
        """Whether one more pod is allowed in a domain (or in each of many) with so many pods."""
        return count + (self.self_match - self.least) <= self.constraint.max_skew


class _Hard:
    """What the filter knows: all hard constraints, and where pods count."""

    __slots__ = ("domains", "eligibility")

    def __init__(self, domains: list[_Domains], eligibility: Eligibility) -> None:
        self.domains = domains
        self.eligibility = eligibility

    def clone(self) -> _Hard:
        return _Hard([d.clone() for d in self.domains], self.eligibility)


class _Soft:
    """One soft constraint ready for scoring: pods by row or by domain, and how much it weighs."""

    __slots__ = ("by_row", "column", "counts", "skew", "weight")

    def __init__(self, column: LabelColumn, counts: Any, by_row: bool, weight: float, skew: int) -> None:
        self.column = column
        self.counts = counts
        self.by_row = by_row
        self.weight = weight
        self.skew = skew


class PodTopologySpread(Policy):
    """Filters by constraints with DoNotSchedule, scores by those with ScheduleAnyway."""

    name = "PodTopologySpread"
    weight = 2
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """PodTopologySpreadArgs: defaultConstraints, defaultingType."""
        super().__init__(args, handle)
        self._constraints = Constraints(args, handle)

    def hints(self) -> Iterable[Hint]:
        """Pods of the same sort that come, go or change their labels, and nodes of the topology."""
        pods = Action.ADD | Action.DELETE | Action.UPDATE_POD_LABEL
        nodes = Action.ADD | Action.DELETE | Action.UPDATE_NODE_LABEL | Action.UPDATE_NODE_TAINT
        return (
            Hint(Resource.ASSIGNED_POD, pods, self._counts_for),
            Hint(Resource.NODE, nodes),
            Hint(Resource.TARGET_POD, Action.UPDATE_POD_LABEL | Action.UPDATE_POD_TOLERATION),
        )

    def _counts_for(self, pod: PodInfo, old: Any, new: Any) -> bool:
        changed = [p for p in (old, new) if p is not None and p.metadata.namespace == pod.namespace]
        constraints = self._constraints.of(pod, HARD)
        return any(c.selector.matches(p.metadata.labels) for c in constraints for p in changed)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Count pods by domain."""
        constraints = self._constraints.of(pod, HARD)
        if not constraints:
            return SKIP
        eligibility = Eligibility(pod, constraints, True)
        state.data[self.name] = _Hard([_domains(c, pod, snapshot, eligibility) for c in constraints], eligibility)
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """One more."""
        _change(state.data[self.name], pod, other, info, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """One less."""
        _change(state.data[self.name], pod, other, info, -1)

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where one more pod would make the skew too large."""
        for domains in state.data[self.name].domains:
            i = domains.column.ids[info.row]
            if i < 0:
                return self.unresolvable(REASON_LABEL)
            if not domains.fits(int(domains.counts[i])):
                return self.unschedulable(REASON)
        return None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """One answer per domain, looked up for every node; the last answer is for nodes without the label."""
        numpy = snapshot.numpy
        passed: Mask = numpy.ones(len(snapshot.nodes), dtype=bool)
        for domains in state.data[self.name].domains:
            answers = numpy.append(domains.fits(domains.counts), False)
            passed &= answers[domains.column.ids]
        return passed

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """Whether the first constraint that is not met misses its label."""
        numpy = snapshot.numpy
        numbers: Ints = numpy.zeros(len(snapshot.nodes), dtype=numpy.int64)
        met = numpy.ones(len(snapshot.nodes), dtype=bool)
        for domains in state.data[self.name].domains:
            ids = domains.column.ids
            numbers[met & (ids < 0)] = 1
            met &= numpy.append(domains.fits(domains.counts), False)[ids]
        return numbers

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """Count pods by domain and find out how much each constraint weighs: the more domains, the more."""
        constraints = self._constraints.of(pod, SOFT)
        if not constraints:
            return SKIP
        snapshot = self.handle.snapshot
        require_all = not self._constraints.are_system_defaults(pod)
        eligibility = Eligibility(pod, constraints, require_all)
        columns = [snapshot.label(c.topology_key) for c in constraints]
        rows = _rows(infos, snapshot)
        scored = _with_labels(columns, rows, snapshot.numpy) if require_all else rows
        soft = [_soft(c, pod, snapshot, eligibility, col, scored) for c, col in zip(constraints, columns, strict=True)]
        state.data[self.name + "/soft"] = soft
        state.data[self.name + "/ignored"] = columns if require_all else []
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """Matching pods in the node's domains, weighed; the fewer the better. -1: a node without the labels."""
        if any(column.ids[info.row] < 0 for column in state.data[self.name + "/ignored"]):
            return -1
        total = 0.0
        for soft in state.data[self.name + "/soft"]:
            i = soft.column.ids[info.row]
            if i >= 0:
                total += int(soft.counts[info.row if soft.by_row else i]) * soft.weight + soft.skew
        return math.floor(total + 0.5)

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """The same for many."""
        numpy = snapshot.numpy
        total = numpy.zeros(len(rows))
        for soft in state.data[self.name + "/soft"]:
            if not soft.column.values:
                continue
            ids = soft.column.ids[rows]
            counts = soft.counts[rows] if soft.by_row else numpy.append(soft.counts, 0)[ids]
            total += numpy.where(ids >= 0, counts * soft.weight + soft.skew, 0.0)
        scores: Ints = numpy.floor(total + 0.5).astype(numpy.int64)
        for column in state.data[self.name + "/ignored"]:
            scores[column.ids[rows] < 0] = -1
        return scores

    def normalize(self, state: CycleState, pod: PodInfo, infos: Candidates, scores: Any) -> Any:
        """Fewest become best; nodes without the labels get nothing."""
        if isinstance(scores, list):
            graded = [s for s in scores if s >= 0]
            least, most = min(graded, default=0), max(graded, default=0)
            return [_normal(s, least, most) for s in scores]
        graded = scores[scores >= 0]
        least, most = (int(graded.min()), int(graded.max())) if len(graded) else (0, 0)
        best = scores * 0 + MAX_SCORE if most == 0 else MAX_SCORE * (most + least - scores) // most
        return best * (scores >= 0)


def _least(counts: Any) -> int:
    if isinstance(counts, list):
        return min(counts, default=_MANY)
    return int(counts.min()) if len(counts) else _MANY


def _normal(score: int, least: int, most: int) -> int:
    if score < 0:
        return 0
    return MAX_SCORE if most == 0 else MAX_SCORE * (most + least - score) // most


def _domains(constraint: Constraint, pod: PodInfo, snapshot: Snapshot, eligibility: Eligibility) -> _Domains:
    column = snapshot.label(constraint.topology_key)
    counts = constraint.count(pod, snapshot)
    totals, present = sums(column, counts, eligibility.rows(constraint, snapshot), snapshot.numpy)
    return _Domains(constraint, column, totals, present, constraint.selector.matches(pod.labels))


def _change(hard: _Hard, pod: PodInfo, other: PodInfo, info: NodeInfo, sign: int) -> None:
    if other.namespace != pod.namespace:
        return
    for domains in hard.domains:
        constraint = domains.constraint
        if constraint.selector.matches(other.labels) and hard.eligibility.matches(constraint, info):
            domains.change(info.row, sign)


def _rows(infos: Candidates, snapshot: Snapshot) -> Any:
    return infos.rows if snapshot.numpy is None else snapshot.numpy.asarray(infos.rows)


def _with_labels(columns: Sequence[LabelColumn], rows: Any, numpy: Any) -> Any:
    if numpy is None:
        return [r for r in rows if all(c.ids[r] >= 0 for c in columns)]
    for column in columns:
        rows = rows[column.ids[rows] >= 0]
    return rows


def _soft(
    constraint: Constraint, pod: PodInfo, snapshot: Snapshot, eligibility: Eligibility, column: LabelColumn, scored: Any
) -> _Soft:
    skew = constraint.max_skew - 1
    if not column.values:  # no node has the label (a cluster without zones): it tells none from another
        return _Soft(column, (), False, 0.0, skew)
    counts = constraint.count(pod, snapshot)
    if constraint.topology_key == HOSTNAME:
        return _Soft(column, counts, True, math.log(len(scored) + 2), skew)
    totals, _ = sums(column, counts, eligibility.rows(constraint, snapshot), snapshot.numpy)
    if snapshot.numpy is None:
        size = len({column.ids[r] for r in scored} - {-1})
    else:
        size = int((snapshot.numpy.bincount(column.ids[scored] + 1)[1:] > 0).sum())
    return _Soft(column, totals, False, math.log(size + 2), skew)
