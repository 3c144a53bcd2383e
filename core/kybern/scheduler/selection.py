"""Which nodes a pod wants: `nodeSelector` and node affinity, asked of one node or of all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kybern.api.placement import meets
from kybern.scheduler.nodeinfo import NodeInfo

if TYPE_CHECKING:
    from kybern.scheduler.columns import LabelColumn
    from kybern.scheduler.snapshot import Snapshot

__all__ = ["NodeTerm", "RequiredNodes"]


class _Expression:
    """One requirement on a label, or on metadata.name (`field`)."""

    __slots__ = ("field", "key", "operator", "values")

    def __init__(self, requirement: Any, *, field: bool = False) -> None:
        self.key: str = requirement.key
        self.operator: str = requirement.operator
        self.values = frozenset(requirement.values or ())
        self.field = field

    def accepts(self, value: str | None) -> bool:
        """Whether a node with this value (None: without the label) is wanted."""
        return meets(value, self.operator, self.values)

    def matches(self, info: NodeInfo) -> bool:
        return self.accepts(info.name if self.field else info.labels.get(self.key))

    def mask(self, snapshot: Snapshot) -> Any:
        numpy = snapshot.numpy
        if self.field:
            found = numpy.zeros(len(snapshot.nodes), dtype=bool)
            found[[snapshot.by_name[n].row for n in self.values if n in snapshot.by_name]] = True
            return ~found if self.operator == "NotIn" else found
        column = snapshot.label(self.key)
        return self._table(column, numpy)[column.ids]

    def _table(self, column: LabelColumn, numpy: Any) -> Any:
        """Whether each value is wanted; the last entry, which -1 finds, stands for a missing label."""
        table = numpy.zeros(len(column.values) + 1, dtype=bool)
        if self.operator in ("In", "NotIn"):
            table[[column.values[v] for v in self.values if v in column.values]] = True
            return ~table if self.operator == "NotIn" else table
        for value, i in column.values.items():
            table[i] = self.accepts(value)
        table[-1] = self.accepts(None)
        return table


class NodeTerm:
    """A node selector term: all of its requirements. A term without any matches no node."""

    __slots__ = ("_expressions",)

    def __init__(self, term: Any) -> None:
        self._expressions = [_Expression(r) for r in term.matchExpressions or ()]
        self._expressions += [_Expression(r, field=True) for r in term.matchFields or ()]

    def matches(self, info: NodeInfo) -> bool:
        """Whether the node is meant."""
        return bool(self._expressions) and all(e.matches(info) for e in self._expressions)

    def mask(self, snapshot: Snapshot) -> Any:
        """By row, whether the node is meant."""
        if not self._expressions:
            return snapshot.numpy.zeros(len(snapshot.nodes), dtype=bool)
        found = self._expressions[0].mask(snapshot)
        for expression in self._expressions[1:]:
            found = found & expression.mask(snapshot)
        return found

    def names(self) -> frozenset[str] | None:
        """The nodes it names by `metadata.name`, None when it names none."""
        found: frozenset[str] | None = None
        for e in self._expressions:
            if e.field and e.key == "metadata.name" and e.operator == "In":
                found = e.values if found is None else found & e.values
        return found


class RequiredNodes:
    """`nodeSelector` and required node affinity together."""

    __slots__ = ("_labels", "_terms")

    def __init__(self, labels: Mapping[str, str] | None, terms: Iterable[Any] | None) -> None:
        """`terms` None: no node affinity; empty: matches nothing."""
        self._labels = dict(labels or {})
        self._terms = None if terms is None else [NodeTerm(t) for t in terms]

    @classmethod
    def of(cls, pod: Any) -> RequiredNodes | None:
        """What the pod requires; None when every node will do."""
        spec = pod.spec
        required = _required_affinity(spec)
        if not spec.nodeSelector and required is None:
            return None
        return cls(spec.nodeSelector, None if required is None else required.nodeSelectorTerms or ())

    def matches(self, info: NodeInfo) -> bool:
        """Whether the node will do."""
        labels = info.labels
        if any(labels.get(k) != v for k, v in self._labels.items()):
            return False
        return self._terms is None or any(t.matches(info) for t in self._terms)

    def mask(self, snapshot: Snapshot) -> Any:
        """By row, whether the node will do."""
        numpy = snapshot.numpy
        found = numpy.ones(len(snapshot.nodes), dtype=bool)
        for key, value in self._labels.items():
            column = snapshot.label(key)
            found &= column.ids == column.values.get(value, -2)
        if self._terms is not None:
            some = numpy.zeros(len(snapshot.nodes), dtype=bool)
            for term in self._terms:
                some |= term.mask(snapshot)
            found &= some
        return found

    def names(self) -> set[str] | None:
        """The only nodes that can match, when every term names its nodes; else None."""
        if not self._terms:
            return None
        found: set[str] = set()
        for term in self._terms:
            named = term.names()
            if named is None:
                return None
            found |= named
        return found


def _required_affinity(spec: Any) -> Any:
    if spec.affinity is None or spec.affinity.nodeAffinity is None:
        return None
    return spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
