"""InterPodAffinity: pods that want to be near, or far from, other pods; both sides have a say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kybern.scheduler.columns import LabelColumn, sums
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import AffinityTerm, PodInfo
from kybern.scheduler.policy import MAX_SCORE, SKIP, Action, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern_scheduler_policies.resource_scoring import only_fields

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

REASON_AFFINITY = "node(s) didn't match pod affinity rules"
REASON_ANTI = "node(s) didn't match pod anti-affinity rules"
REASON_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
_NO_LABELS: Mapping[str, str] = {}


class _Domains:
    """How many pods concern the incoming one in each domain of a topology."""

    __slots__ = ("column", "counts")

    def __init__(self, column: LabelColumn, counts: Any) -> None:
        self.column = column
        self.counts = counts

    def clone(self) -> _Domains:
        return _Domains(self.column, self.counts.copy())

    def at(self, info: NodeInfo) -> int | None:
        """Pods in the node's domain; None when the node lacks the label."""
        i = self.column.ids[info.row]
        return None if i < 0 else int(self.counts[i])

    def any(self) -> bool:
        """Whether anything was counted at all."""
        return any(self.counts) if isinstance(self.counts, list) else bool(self.counts.any())

    def change(self, info: NodeInfo, sign: int) -> None:
        i = self.column.ids[info.row]
        if i >= 0:
            self.counts[i] += sign

    def at_all(self, numpy: Any, without: int) -> Any:
        """The same for every node, `without` where the label is lacking."""
        return numpy.append(self.counts, without)[self.column.ids]


class _State:
    """What the filter knows: pods that match the incoming pod's terms, and pods whose terms match the incoming pod."""

    __slots__ = ("against", "existing", "self_match", "wanted")

    def __init__(
        self, wanted: list[_Domains], against: list[_Domains], existing: dict[str, _Domains], self_match: bool
    ) -> None:
        self.wanted = wanted
        self.against = against
        self.existing = existing
        self.self_match = self_match
        """Whether the pod matches its own required affinity, so that the first of its kind may start anywhere."""

    def clone(self) -> _State:
        existing = {key: d.clone() for key, d in self.existing.items()}
        return _State([d.clone() for d in self.wanted], [d.clone() for d in self.against], existing, self.self_match)

    def first_of_its_kind(self) -> bool:
        """Whether no pod anywhere matches the required affinity, but the pod itself does."""
        return self.self_match and not any(d.any() for d in self.wanted)


class InterPodAffinity(Policy):
    """Filters by required terms, scores by preferred ones."""

    name = "InterPodAffinity"
    weight = 2
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """InterPodAffinityArgs: hardPodAffinityWeight, ignorePreferredTermsOfExistingPods."""
        super().__init__(args, handle)
        only_fields(args, {"hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"}, "InterPodAffinityArgs")
        weight = args.get("hardPodAffinityWeight")
        self._hard_weight: int = 1 if weight is None else weight
        if not isinstance(self._hard_weight, int) or not 0 <= self._hard_weight <= 100:
            raise ValueError(f"hardPodAffinityWeight: {weight!r} must be between 0 and 100")
        self._own_only = bool(args.get("ignorePreferredTermsOfExistingPods"))
        from kybern.api.core import Namespace

        self._namespaces = handle.informer(Namespace)

    def hints(self) -> Iterable[Hint]:
        """Pods that match one of the terms, on either side, and nodes of the topology."""
        pods = Action.ADD | Action.DELETE | Action.UPDATE_POD_LABEL
        nodes = Action.ADD | Action.UPDATE_NODE_LABEL
        return (
            Hint(Resource.ASSIGNED_POD, pods, self._concerned_by),
            Hint(Resource.NODE, nodes),
            Hint(Resource.NAMESPACE, Action.ADD | Action.UPDATE),
            Hint(Resource.TARGET_POD, Action.UPDATE_POD_LABEL),
        )

    def _concerned_by(self, pod: PodInfo, old: Any, new: Any) -> bool:
        own = pod.terms
        terms = [*own.required, *own.required_against] if own is not None else []
        for other in (PodInfo(p) for p in (old, new) if p is not None):
            if any(t.matches(other, self._labels_of) for t in terms):
                return True
            if other.terms is not None and any(t.matches(pod, self._labels_of) for t in other.terms.required_against):
                return True
        return False

    def _labels_of(self, namespace: str) -> Mapping[str, str]:
        found = self._namespaces.get(namespace)
        return (found.metadata.labels if found is not None else None) or _NO_LABELS

    def _where(self, term: AffinityTerm) -> frozenset[str] | None:
        """The namespaces a term means; None for all."""
        chosen = term.namespace_selector
        if chosen is None:
            return term.namespaces
        if not chosen.none and not chosen.requirements:
            return None
        matching = (n.metadata.name for n in self._namespaces.list() if chosen.matches(n.metadata.labels))
        return term.namespaces | frozenset(matching)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Count pods by domain, for every term."""
        terms = pod.terms
        existing = self._existing(pod, snapshot)
        if not existing and (terms is None or not (terms.required or terms.required_against)):
            return SKIP
        wanted: list[_Domains] = []
        against: list[_Domains] = []
        self_match = False
        if terms is not None:
            wanted = self._wanted(terms.required, snapshot)
            against = [self._matching([t], t.topology_key, snapshot) for t in terms.required_against]
            self_match = all(t.matches(pod, self._labels_of) for t in terms.required)
        state.data[self.name] = _State(wanted, against, existing, self_match)
        return None

    def _wanted(self, terms: list[AffinityTerm], snapshot: Snapshot) -> list[_Domains]:
        """Per term, the pods that match all of them."""
        return [self._matching(terms, t.topology_key, snapshot) for t in terms]

    def _matching(self, terms: list[AffinityTerm], topology_key: str, snapshot: Snapshot) -> _Domains:
        counts = snapshot.count_matching([(self._where(t), t.selector) for t in terms])
        column = snapshot.label(topology_key)
        return _Domains(column, sums(column, counts, None, snapshot.numpy)[0])

    def _existing(self, pod: PodInfo, snapshot: Snapshot) -> dict[str, _Domains]:
        """Pods that do not want this one near, by topology."""
        found: dict[str, _Domains] = {}
        for term in snapshot.terms["required_against"]:
            if term.matches(pod, self._labels_of):
                _add_up(found, term, "required_against", 1, snapshot)
        return found

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """One more."""
        self._change(state.data[self.name], pod, other, info, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """One less."""
        self._change(state.data[self.name], pod, other, info, -1)

    def _change(self, known: _State, pod: PodInfo, other: PodInfo, info: NodeInfo, sign: int) -> None:
        if other.terms is not None:
            for term in other.terms.required_against:
                if term.matches(pod, self._labels_of):
                    self._existing_in(known, term.topology_key).change(info, sign)
        own = pod.terms
        if own is None:
            return
        if own.required and all(t.matches(other, self._labels_of) for t in own.required):
            for domains in known.wanted:
                domains.change(info, sign)
        for term, domains in zip(own.required_against, known.against, strict=True):
            if term.matches(other, self._labels_of):
                domains.change(info, sign)

    def _existing_in(self, known: _State, topology_key: str) -> _Domains:
        found = known.existing.get(topology_key)
        if found is None:
            column = self.handle.snapshot.label(topology_key)
            found = known.existing[topology_key] = _Domains(column, [0] * len(column.values))
        return found

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where a wanted pod is missing, or an unwanted one (or one that does not want this) is near."""
        known: _State = state.data[self.name]
        near = [d.at(info) for d in known.wanted]
        if None in near or (0 in near and not known.first_of_its_kind()):
            return self.unresolvable(REASON_AFFINITY)
        if any(d.at(info) for d in known.against):
            return self.unschedulable(REASON_ANTI)
        if any(d.at(info) for d in known.existing.values()):
            return self.unschedulable(REASON_EXISTING)
        return None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The same for every node."""
        numpy, known = snapshot.numpy, state.data[self.name]
        passed: Mask = numpy.ones(len(snapshot.nodes), dtype=bool)
        anywhere = bool(known.wanted) and known.first_of_its_kind()
        for domains in known.wanted:
            passed &= (domains.column.ids >= 0) if anywhere else domains.at_all(numpy, 0) > 0
        for domains in (*known.against, *known.existing.values()):
            passed &= domains.at_all(numpy, 0) == 0
        return passed

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """0: a wanted pod is missing; 1: an unwanted one is near; 2: one that does not want this."""
        numpy, known = snapshot.numpy, state.data[self.name]
        numbers: Ints = numpy.full(len(snapshot.nodes), 2)
        for domains in known.against:
            numbers[domains.at_all(numpy, 0) > 0] = 1
        anywhere = bool(known.wanted) and known.first_of_its_kind()
        for domains in known.wanted:
            numbers[(domains.column.ids < 0) if anywhere else domains.at_all(numpy, 0) == 0] = 0
        return numbers

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """Add up the weights of preferred terms, of this pod and of others, by domain."""
        snapshot, terms = self.handle.snapshot, pod.terms
        found: dict[str, _Domains] = {}
        preferences = terms is not None and bool(terms.preferred or terms.preferred_against)
        if terms is not None:
            for sort, sign in ((terms.preferred, 1), (terms.preferred_against, -1)):
                for term in sort:
                    domains = self._matching([term], term.topology_key, snapshot)
                    _merge(found, domains, sign * term.weight)
        if preferences or not self._own_only:
            self._wishes_of_others(found, pod, snapshot)
        if not any(d.any() for d in found.values()):
            return SKIP
        state.data[self.name + "/score"] = list(found.values())
        return None

    def _wishes_of_others(self, found: dict[str, _Domains], pod: PodInfo, snapshot: Snapshot) -> None:
        for sort, sign in (("preferred", 1), ("preferred_against", -1)):
            for term in snapshot.terms[sort]:
                if term.matches(pod, self._labels_of):
                    _add_up(found, term, sort, sign * term.weight, snapshot)
        if self._hard_weight:
            for term in snapshot.terms["required"]:
                if term.matches(pod, self._labels_of):
                    _add_up(found, term, "required", self._hard_weight, snapshot)

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """The weights in all of the node's domains."""
        return sum(d.at(info) or 0 for d in state.data[self.name + "/score"])

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """The same for many."""
        numpy = snapshot.numpy
        scores: Ints = numpy.zeros(len(rows), dtype=numpy.int64)
        for domains in state.data[self.name + "/score"]:
            scores += domains.at_all(numpy, 0)[rows]
        return scores

    def normalize(self, state: CycleState, pod: PodInfo, infos: Candidates, scores: Any) -> Any:
        """From the least to the most wanted node."""
        if isinstance(scores, list):
            least, most = min(scores), max(scores)
            return [int(float(MAX_SCORE) * ((s - least) / (most - least))) if most > least else 0 for s in scores]
        least, most = int(scores.min()), int(scores.max())
        if least == most:
            return scores * 0
        return (float(MAX_SCORE) * ((scores - least) / (most - least))).astype(scores.dtype)


def _add_up(found: dict[str, _Domains], term: AffinityTerm, sort: str, weight: int, snapshot: Snapshot) -> None:
    """Count the pods that have this term, by domain."""
    column = snapshot.label(term.topology_key)
    counts = sums(column, snapshot.count_term(sort, term), None, snapshot.numpy)[0]
    _merge(found, _Domains(column, counts), weight)


def _merge(found: dict[str, _Domains], domains: _Domains, weight: int) -> None:
    key = domains.column.key
    weighed = [c * weight for c in domains.counts] if isinstance(domains.counts, list) else domains.counts * weight
    known = found.get(key)
    if known is None:
        found[key] = _Domains(domains.column, weighed)
    elif isinstance(weighed, list):
        known.counts = [a + b for a, b in zip(known.counts, weighed, strict=True)]
    else:
        known.counts = known.counts + weighed
