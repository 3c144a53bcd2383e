"""Pods counted per node, kept up to date instead of counted again for every pod.

`PodCounts` answers "how many pods with these labels run on each node" for spreading and affinity;
`TermGroups` holds the affinity terms of running pods, equal terms once: five thousand replicas with
one anti-affinity rule are one term.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.columns import Column

if TYPE_CHECKING:
    from kybern.scheduler.podinfo import AffinityTerm, PodInfo
    from kybern.scheduler.snapshot import Snapshot

__all__ = ["PodCounts", "TermGroups"]

_KEPT = 256
"""Questions remembered; the least recently asked is forgotten first."""


class _Entry:
    __slots__ = ("column", "matches", "terminating")

    def __init__(self, matches: Callable[[PodInfo], bool], terminating: bool) -> None:
        self.matches = matches
        self.terminating = terminating
        self.column: Column

    def counts(self, pod: PodInfo) -> bool:
        return (self.terminating or not pod.terminating) and self.matches(pod)


class PodCounts:
    """Answers kept by question. A question's key must say everything that its `matches` depends on."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()

    def ask(self, key: Any, matches: Callable[[PodInfo], bool], snapshot: Snapshot, *, terminating: bool) -> Any:
        """By row, the number of pods that match; `terminating`: whether pods being deleted count."""
        entry = self._entries.get((key, terminating))
        if entry is None:
            entry = self._entries[(key, terminating)] = _Entry(matches, terminating)
            entry.column = Column((sum(map(entry.counts, n.pods.values())) for n in snapshot.nodes), snapshot.numpy)
            if len(self._entries) > _KEPT:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end((key, terminating))
        return entry.column.values

    def add_node(self) -> None:
        """A node was added as the last row."""
        for entry in self._entries.values():
            entry.column.append(0)

    def pod_changed(self, pod: PodInfo, row: int, sign: int) -> None:
        """A pod came (1) or went (-1)."""
        for entry in self._entries.values():
            if entry.counts(pod):
                entry.column.add(row, sign)

    def clear(self) -> None:
        """Forget all answers: rows have moved."""
        self._entries.clear()


class TermGroups:
    """The different terms of one sort (say, required anti-affinity) of all pods that have a node."""

    def __init__(self) -> None:
        self._pods: dict[Any, int] = {}
        self._terms: dict[Any, AffinityTerm] = {}

    def __bool__(self) -> bool:
        return bool(self._terms)

    def __iter__(self) -> Iterator[AffinityTerm]:
        return iter(self._terms.values())

    def changed(self, terms: Sequence[AffinityTerm], sign: int) -> None:
        """A pod with these terms came (1) or went (-1)."""
        for term in terms:
            pods = self._pods.get(term.key, 0) + sign
            if pods:
                self._pods[term.key] = pods
                self._terms.setdefault(term.key, term)
            else:
                del self._pods[term.key], self._terms[term.key]
