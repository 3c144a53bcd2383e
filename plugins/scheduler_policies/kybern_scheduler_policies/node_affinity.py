"""NodeAffinity: `nodeSelector` and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Handle, Hint, Policy, Resource, Status, normalized
from kybern.scheduler.selection import NodeTerm, RequiredNodes
from kybern.scheduler.snapshot import Candidates, Snapshot

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints, Mask

REASON = "node(s) didn't match Pod's node affinity/selector"
REASON_ADDED = "node(s) didn't match scheduler-enforced node affinity"
CONFLICT = "pod affinity terms conflict"

Preferred = list[tuple[int, NodeTerm]]


class NodeAffinity(Policy):
    """Filters by what is required, scores by what is preferred."""

    name = "NodeAffinity"
    weight = 2
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """`addedAffinity`: a NodeAffinity that every pod of the profile gets on top of its own."""
        super().__init__(args, handle)
        unknown = args.keys() - {"addedAffinity"}
        if unknown:
            raise ValueError(f"NodeAffinityArgs: unknown field {sorted(unknown)[0]!r}")
        self._added: RequiredNodes | None = None
        self._added_preferred: Preferred = []
        if args.get("addedAffinity"):
            self._read_added(args["addedAffinity"])

    def _read_added(self, plain: Any) -> None:
        from kybern.api import types
        from kybern.api.core import NodeAffinity as Affinity

        added = types.from_plain(Affinity, plain)
        required = added.requiredDuringSchedulingIgnoredDuringExecution
        if required is not None:
            self._added = RequiredNodes(None, required.nodeSelectorTerms or ())
        self._added_preferred = _preferred_terms(added)

    def hints(self) -> Iterable[Hint]:
        """A node that matches now."""
        return (
            Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_LABEL, self._matches_now),
            Hint(Resource.TARGET_POD, Action.UPDATE_OTHER),
        )

    def _matches_now(self, pod: PodInfo, old: Any, new: Any) -> bool:
        info = NodeInfo(new, 0)
        required = RequiredNodes.of(pod.pod)
        return all(r is None or r.matches(info) for r in (required, self._added))

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> set[str] | Status | None:
        """Nothing to do for a pod that any node suits; a pod that names its node is looked at only there."""
        required = RequiredNodes.of(pod.pod)
        if required is None and self._added is None:
            return SKIP
        state.data[self.name] = required
        names = required.names() if required is not None else None
        if names is None:
            return None
        return names or self.unresolvable(CONFLICT)

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object to a node that does not match."""
        if self._added is not None and not self._added.matches(info):
            return self.unresolvable(REASON_ADDED)
        required: RequiredNodes | None = state.data[self.name]
        if required is not None and not required.matches(info):
            return self.unresolvable(REASON)
        return None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The nodes that match."""
        chosen = [r for r in (state.data[self.name], self._added) if r is not None]
        passed: Mask = snapshot.numpy.logical_and.reduce([r.mask(snapshot) for r in chosen])
        return passed

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """Whether the node meets what is added to every pod."""
        if self._added is None:
            return None
        met: Ints = self._added.mask(snapshot).astype(snapshot.numpy.int64)
        return met

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """All nodes are equal to a pod without preferences."""
        affinity = pod.pod.spec.affinity
        own = (
            _preferred_terms(affinity.nodeAffinity)
            if affinity is not None and affinity.nodeAffinity is not None
            else []
        )
        preferred = own + self._added_preferred
        if not preferred:
            return SKIP
        state.data[self.name + "/preferred"] = preferred
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """The weights of the preferences that the node meets."""
        preferred: Preferred = state.data[self.name + "/preferred"]
        return sum(weight for weight, term in preferred if term.matches(info))

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """The same for many."""
        scores: Ints = snapshot.numpy.zeros(len(rows), dtype=snapshot.numpy.int64)
        for weight, term in state.data[self.name + "/preferred"]:
            scores += weight * term.mask(snapshot)[rows]
        return scores

    def normalize(self, state: CycleState, pod: PodInfo, infos: Candidates, scores: Any) -> Any:
        """Most become best."""
        return normalized(scores)


def _preferred_terms(affinity: Any) -> Preferred:
    terms = affinity.preferredDuringSchedulingIgnoredDuringExecution or ()
    return [(t.weight, NodeTerm(t.preference)) for t in terms if t.weight]
