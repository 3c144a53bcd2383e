"""Numbers about all nodes side by side, one row per node.

Small clusters keep them in Python lists. Once a cluster is large enough for numpy to pay for its
import, the same columns are numpy arrays with spare room at the end, and policies work on whole
columns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kybern.scheduler.nodeinfo import NodeInfo

__all__ = ["Column", "LabelColumn", "NodeColumns", "sums"]


class Column:
    """A growing column of integers: a list, or an int64 array when `numpy` is given."""

    __slots__ = ("_data", "_numpy", "_size")

    def __init__(self, values: Iterable[int], numpy: Any = None) -> None:
        data = list(values)
        self._numpy = numpy
        self._size = len(data)
        self._data: Any = data if numpy is None else numpy.array(data, dtype=numpy.int64)

    @property
    def values(self) -> Any:
        """The numbers, indexed by row. Not to be kept beyond the cycle, and not to be changed."""
        return self._data if self._numpy is None else self._data[: self._size]

    def append(self, value: int) -> None:
        """Add a row."""
        if self._numpy is None:
            self._data.append(value)
        else:
            if self._size == len(self._data):
                spare = self._numpy.zeros(max(64, self._size), dtype=self._numpy.int64)
                self._data = self._numpy.concatenate([self._data, spare])
            self._data[self._size] = value
        self._size += 1

    def set(self, row: int, value: int) -> None:
        """Replace a number."""
        self._data[row] = value

    def add(self, row: int, value: int) -> None:
        """Add to a number."""
        self._data[row] += value


class LabelColumn:
    """The value that each node has for one label key, as a small number (-1: the node lacks the label)."""

    __slots__ = ("_column", "key", "values")

    def __init__(self, key: str, nodes: Iterable[NodeInfo], numpy: Any = None) -> None:
        self.key = key
        self.values: dict[str, int] = {}
        """The number of each label value."""
        self._column = Column((self._number(n) for n in nodes), numpy)

    @property
    def ids(self) -> Any:
        """By row: the number of the node's value."""
        return self._column.values

    def _number(self, node: NodeInfo) -> int:
        value = node.labels.get(self.key)
        return -1 if value is None else self.values.setdefault(value, len(self.values))

    def add(self, node: NodeInfo) -> None:
        """A node was added as the last row."""
        self._column.append(self._number(node))

    def update(self, node: NodeInfo) -> None:
        """A node's labels changed."""
        self._column.set(node.row, self._number(node))


def sums(column: LabelColumn, numbers: Any, eligible: Any, numpy: Any) -> tuple[Any, Any]:
    """(sum of `numbers` over the nodes of each label value, how many nodes that are), indexed by the value's number.

    `eligible` (by row) leaves nodes out when it is not None."""
    size = len(column.values)
    if not size:
        return ([], []) if numpy is None else (numpy.zeros(0, dtype=numpy.int64), numpy.zeros(0, dtype=numpy.int64))
    if numpy is not None:
        chosen = column.ids >= 0
        if eligible is not None:
            chosen = chosen & eligible
        ids = column.ids[chosen]
        totals = numpy.bincount(ids, weights=numbers[chosen], minlength=size).astype(numpy.int64)
        return totals, numpy.bincount(ids, minlength=size)
    totals, nodes = [0] * size, [0] * size
    for row, i in enumerate(column.ids):
        if i >= 0 and (eligible is None or eligible[row]):
            totals[i] += numbers[row]
            nodes[i] += 1
    return totals, nodes


def _free(resource: str, node: NodeInfo) -> int:
    used = len(node.pods) if resource == "pods" else node.requested.get(resource, 0)
    return node.allocatable.get(resource, 0) - used


class NodeColumns:
    """The numpy columns of the nodes' resources and taints, built when first asked for."""

    def __init__(self, nodes: Sequence[NodeInfo], numpy: Any) -> None:
        self._numpy = numpy
        self._nodes = nodes
        self._columns: list[tuple[Column, Callable[[NodeInfo], int]]] = []
        self._allocatable: dict[str, Column] = {}
        self._requested: dict[str, Column] = {}
        self._free: dict[str, Column] = {}
        self._nonzero_cpu = self._make(lambda n: n.nonzero_cpu)
        self._nonzero_memory = self._make(lambda n: n.nonzero_memory)
        self._taint_set = self._make(lambda n: n.taint_set)
        self._unschedulable = self._make(lambda n: n.unschedulable)

    def _make(self, value: Callable[[NodeInfo], int]) -> Column:
        column = Column((value(n) for n in self._nodes), self._numpy)
        self._columns.append((column, value))
        return column

    def allocatable(self, resource: str) -> Any:
        """What the nodes offer of a resource (`pods` is one)."""
        found = self._allocatable.get(resource)
        if found is None:
            found = self._allocatable[resource] = self._make(lambda n: n.allocatable.get(resource, 0))
        return found.values

    def requested(self, resource: str) -> Any:
        """What pods on the nodes ask of a resource."""
        found = self._requested.get(resource)
        if found is None:
            found = self._requested[resource] = self._make(lambda n: n.requested.get(resource, 0))
        return found.values

    def free(self, resource: str) -> Any:
        """What the nodes have left of a resource (of `pods`: how many more they take)."""
        found = self._free.get(resource)
        if found is None:
            found = self._free[resource] = self._make(partial(_free, resource))
        return found.values

    @property
    def nonzero_cpu(self) -> Any:
        """Requested CPU, with the assumed default of containers that name none."""
        return self._nonzero_cpu.values

    @property
    def nonzero_memory(self) -> Any:
        """Requested memory, with the assumed default of containers that name none."""
        return self._nonzero_memory.values

    @property
    def taint_set(self) -> Any:
        """Index into `Snapshot.taint_sets`."""
        return self._taint_set.values

    @property
    def unschedulable(self) -> Any:
        """1 where the node is cordoned."""
        return self._unschedulable.values

    def add(self, node: NodeInfo) -> None:
        """A node was added as the last row."""
        for column, value in self._columns:
            column.append(value(node))

    def update(self, node: NodeInfo) -> None:
        """Anything about a node changed."""
        for column, value in self._columns:
            column.set(node.row, value(node))

    def update_pods(self, node: NodeInfo) -> None:
        """Only the pods of a node changed."""
        row = node.row
        self._nonzero_cpu.set(row, node.nonzero_cpu)
        self._nonzero_memory.set(row, node.nonzero_memory)
        for resource, column in self._requested.items():
            column.set(row, node.requested.get(resource, 0))
        for resource, column in self._free.items():
            column.set(row, _free(resource, node))
