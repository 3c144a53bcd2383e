"""The scheduling cycle: find the nodes that can take a pod, score them, pick one. Plain code, no I/O.

Large clusters are sampled as upstream does it: the search starts where the last one stopped and ends
when enough nodes were found. With numpy columns all nodes are filtered at once and the sample is cut
out of the result, which is the same choice, made faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.scheduler.diagnosis import NO_NODES, Diagnosis, FitError
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Code, CycleState, Handle, Policy, Status
from kybern.scheduler.profile import PolicyFailure, Profile, overrides, signed
from kybern.scheduler.snapshot import Candidates, Snapshot

__all__ = ["Cycle", "NoNodes", "nodes_to_find"]

MIN_NODES = 100
"""No search stops before it has found so many."""
MIN_PERCENTAGE = 5
FEW = 32
"""A search among so few nodes is not worth columns."""


class NoNodes(Exception):
    """The cluster has no nodes at all."""

    def __init__(self) -> None:
        super().__init__(NO_NODES)


def nodes_to_find(nodes: int, percentage: int | None) -> int:
    """How many feasible nodes are enough; `percentage` None or 0: fewer percent, the larger the cluster."""
    if nodes < MIN_NODES:
        return nodes
    adaptive = max(50 - nodes // 125, MIN_PERCENTAGE)
    return max(nodes * (percentage or adaptive) // 100, MIN_NODES)


class Cycle:
    """Picks nodes. Remembers only where the next search begins."""

    def __init__(self, handle: Handle, percentage_of_nodes: int = 0) -> None:
        self._handle = handle
        self._percentage = percentage_of_nodes
        self._start = 0

    def select(self, profile: Profile, state: CycleState, pod: PodInfo) -> str:
        """The name of the best node. FitError when none can take the pod, NoNodes when there is none."""
        snapshot = self._handle.snapshot
        if not snapshot.nodes:
            raise NoNodes
        snapshot.prepare()
        feasible = self._feasible(profile, state, pod, snapshot)
        row = int(feasible[0]) if len(feasible) == 1 else self._best(profile, state, pod, snapshot, feasible)
        return snapshot.nodes[row].name

    def _feasible(self, profile: Profile, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Any:
        """Rows of nodes that can take the pod: a list or an array, never empty."""
        diagnosis = Diagnosis(len(snapshot.nodes))
        names, narrowed, objection = profile.pre_filter(state, pod, snapshot)
        diagnosis.rejected_by.update(narrowed)
        if objection is not None:
            diagnosis.absent = objection
            diagnosis.before_filter = objection.message
            diagnosis.rejected_by.add(objection.policy)
            raise FitError(diagnosis)
        nominated = self._nominated(profile, state, pod, snapshot)
        if nominated is not None:
            return [nominated.row]
        if names is not None:
            text = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(narrowed))}]"
            diagnosis.absent = Status(Code.UNRESOLVABLE, (text,))
            rows: Any = [snapshot.by_name[n].row for n in names if n in snapshot.by_name]
        else:
            rows = snapshot.order
        found = self._search(profile, state, pod, snapshot, rows, diagnosis)
        if len(found) == 0:
            raise FitError(diagnosis)
        return found

    def _nominated(self, profile: Profile, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> NodeInfo | None:
        """The node that was made free for this pod, if it fits there now."""
        info = snapshot.by_name.get(self._handle.nominator.node_of(pod.uid))
        if info is not None and profile.filter_with_nominated(state, pod, info) is None:
            return info
        return None

    def _search(
        self,
        profile: Profile,
        state: CycleState,
        pod: PodInfo,
        snapshot: Snapshot,
        rows: Sequence[int],
        diagnosis: Diagnosis,
    ) -> Any:
        wanted = nodes_to_find(len(rows), self._percentage_of(profile)) if profile.scorers else 1
        start = self._start % len(rows) if rows else 0
        if snapshot.numpy is None or len(rows) <= FEW:
            found, looked_at = self._one_by_one(profile, state, pod, snapshot, rows, start, wanted, diagnosis)
        else:
            masks, rest = _masks(profile, state, pod, snapshot)
            found, looked_at = self._at_once(profile, state, pod, snapshot, masks, rest, start, wanted)
            if len(found) == 0 and rest:
                self._one_by_one(profile, state, pod, snapshot, rows, start, wanted, diagnosis)
            elif len(found) == 0:
                _explain(profile, state, pod, snapshot, masks, diagnosis)
        self._start = (self._start + looked_at) % len(snapshot.nodes)
        return found

    def _percentage_of(self, profile: Profile) -> int:
        return self._percentage if profile.percentage_of_nodes is None else profile.percentage_of_nodes

    def _one_by_one(
        self,
        profile: Profile,
        state: CycleState,
        pod: PodInfo,
        snapshot: Snapshot,
        rows: Sequence[int],
        start: int,
        wanted: int,
        diagnosis: Diagnosis,
    ) -> tuple[list[int], int]:
        found: list[int] = []
        for looked_at in range(len(rows)):
            info = snapshot.nodes[rows[(start + looked_at) % len(rows)]]
            objection = profile.filter_with_nominated(state, pod, info)
            if objection is None:
                found.append(info.row)
                if len(found) == wanted:
                    return found, looked_at + 1
            else:
                diagnosis.statuses[info.name] = objection
                diagnosis.rejected_by.add(objection.policy)
        return found, len(rows)

    def _at_once(
        self,
        profile: Profile,
        state: CycleState,
        pod: PodInfo,
        snapshot: Snapshot,
        masks: list[tuple[Policy, Any]],
        rest: list[Policy],
        start: int,
        wanted: int,
    ) -> tuple[Any, int]:
        numpy = snapshot.numpy
        fits = numpy.ones(len(snapshot.nodes), dtype=bool)
        for _, passed in masks:
            fits &= passed
        for name in self._handle.nominator.nodes():
            info = snapshot.by_name.get(name)
            if info is not None and fits[info.row]:
                fits[info.row] = profile.filter_with_nominated(state, pod, info) is None
        order = snapshot.order_array
        ordered = numpy.flatnonzero(fits if order is None else fits[order])
        first = int(numpy.searchsorted(ordered, start))
        if rest:
            positions, looked_at = _finish(
                rest, state, pod, snapshot, [*ordered[first:], *ordered[:first]], start, wanted
            )
        else:
            positions = ordered[first : first + wanted]
            if len(positions) < wanted:
                positions = numpy.concatenate([positions, ordered[: min(first, wanted - len(positions))]])
            complete = len(positions) == wanted
            size = len(snapshot.nodes)
            looked_at = (int(positions[-1]) - start) % size + 1 if complete else size
        return (positions if order is None else order[positions]), looked_at

    def _best(self, profile: Profile, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Any) -> int:
        """The row with the highest weighted score; chance decides between equals."""
        if not profile.scorers:
            return int(rows[0])
        infos = Candidates(snapshot.nodes, rows)
        profile.pre_score(state, pod, infos)
        total: Any = None
        for policy, weight in profile.scorers:
            if policy.name in state.skip_score:
                continue
            scores = policy.normalize(state, pod, infos, _scores(policy, state, pod, snapshot, infos, rows))
            if snapshot.numpy is not None:
                scores = snapshot.numpy.asarray(scores) * weight
                total = scores if total is None else total + scores
            else:
                total = [t + s * weight for t, s in zip(total or [0] * len(rows), scores, strict=True)]
        return self._choose(total, rows, snapshot.numpy)

    def _choose(self, total: Any, rows: Any, numpy: Any) -> int:
        random = self._handle.random
        if total is None:
            return int(rows[random.randrange(len(rows))])
        if numpy is not None:
            best = numpy.flatnonzero(total == total.max())
        else:
            highest = max(total)
            best = [i for i, t in enumerate(total) if t == highest]
        return int(rows[best[random.randrange(len(best))]])


def _masks(
    profile: Profile, state: CycleState, pod: PodInfo, snapshot: Snapshot
) -> tuple[list[tuple[Policy, Any]], list[Policy]]:
    """(which rows pass each filter that knows columns, the filters that do not)."""
    masks: list[tuple[Policy, Any]] = []
    rest: list[Policy] = []
    for policy in profile.filters:
        if policy.name in state.skip_filter:
            continue
        if not overrides(policy, "filter_all"):
            rest.append(policy)
            continue
        passed = policy.filter_all(state, pod, snapshot)
        if passed is not None:
            masks.append((policy, passed))
    return masks, rest


def _explain(
    profile: Profile,
    state: CycleState,
    pod: PodInfo,
    snapshot: Snapshot,
    masks: list[tuple[Policy, Any]],
    diagnosis: Diagnosis,
) -> None:
    """Find the first objection on each node, asking once for nodes that are alike."""
    numpy, nodes = snapshot.numpy, snapshot.nodes
    left = numpy.ones(len(nodes), dtype=bool)
    for policy, passed in masks:
        for rows in _groups(policy, state, pod, snapshot, numpy.flatnonzero(left & ~passed)):
            objection = policy.filter(state, pod, nodes[rows[0]])
            if objection is None:
                raise PolicyFailure(f'"{policy.name}" objects to a node as one of many, but not alone')
            objection = signed(objection, policy)
            diagnosis.statuses.update(dict.fromkeys([nodes[row].name for row in rows], objection))
            diagnosis.rejected_by.add(objection.policy)
        left &= passed
    for row in numpy.flatnonzero(left).tolist():
        objection = profile.filter_with_nominated(state, pod, nodes[row])
        if objection is not None:
            diagnosis.statuses[nodes[row].name] = objection
            diagnosis.rejected_by.add(objection.policy)


def _groups(policy: Policy, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Any) -> Iterable[list[int]]:
    """The rows in groups of nodes to which the policy objects alike."""
    if not len(rows):
        return []
    if not overrides(policy, "alike"):
        return [[row] for row in rows.tolist()]
    numbers = policy.alike(state, pod, snapshot)
    if numbers is None:
        return [rows.tolist()]
    chosen = numbers[rows]
    return [rows[chosen == number].tolist() for number in set(chosen.tolist())]


def _finish(
    filters: list[Policy],
    state: CycleState,
    pod: PodInfo,
    snapshot: Snapshot,
    positions: list[int],
    start: int,
    wanted: int,
) -> tuple[Any, int]:
    """Ask the filters without columns, node by node until enough are found: (positions in the order, looked at)."""
    size, order = len(snapshot.nodes), snapshot.order
    found: list[int] = []
    for position in positions:
        info = snapshot.nodes[order[position]]
        if all(p.filter(state, pod, info) is None for p in filters):
            found.append(position)
            if len(found) == wanted:
                return snapshot.numpy.array(found), (position - start) % size + 1
    return snapshot.numpy.array(found, dtype=int), size


def _scores(
    policy: Policy, state: CycleState, pod: PodInfo, snapshot: Snapshot, infos: Sequence[NodeInfo], rows: Any
) -> Any:
    if snapshot.numpy is not None and overrides(policy, "score_all"):
        return policy.score_all(state, pod, snapshot, snapshot.numpy.asarray(rows))
    return [policy.score(state, pod, info) for info in infos]
