"""The scoring strategies of NodeResourcesFit: what a node is worth, given how full each resource would be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kybern.scheduler.policy import MAX_SCORE

if TYPE_CHECKING:
    from kybern.scheduler.policy import Ints


class Strategy(ABC):
    """A score per resource, and their weighted mean."""

    @abstractmethod
    def one(self, used: int, capacity: int) -> int:
        """The score of one resource of one node."""

    @abstractmethod
    def many(self, used: Ints, capacity: Ints, numpy: Any) -> Ints:
        """The score of one resource of many nodes; a capacity may be 0, its score is not used then."""

    def counts_zero(self) -> bool:
        """Whether a resource with score 0 takes part in the mean."""
        return True

    def mean(self, total: int, weights: int) -> int:
        """The mean of one node."""
        return total // weights if weights else 0

    def mean_many(self, total: Ints, weights: Ints, numpy: Any) -> Ints:
        """The mean of many nodes."""
        means: Ints = numpy.where(weights > 0, total // numpy.maximum(weights, 1), 0)
        return means


class LeastAllocated(Strategy):
    """The emptier the better: spreads pods."""

    def one(self, used: int, capacity: int) -> int:
        return 0 if used > capacity else (capacity - used) * MAX_SCORE // capacity

    def many(self, used: Ints, capacity: Ints, numpy: Any) -> Ints:
        scores: Ints = numpy.maximum(capacity - used, 0) * MAX_SCORE // numpy.maximum(capacity, 1)
        return scores


class MostAllocated(Strategy):
    """The fuller the better: packs pods."""

    def one(self, used: int, capacity: int) -> int:
        return min(used, capacity) * MAX_SCORE // capacity

    def many(self, used: Ints, capacity: Ints, numpy: Any) -> Ints:
        scores: Ints = numpy.minimum(used, capacity) * MAX_SCORE // numpy.maximum(capacity, 1)
        return scores


class RequestedToCapacityRatio(Strategy):
    """A line through given points decides what each utilization is worth."""

    def __init__(self, shape: Sequence[tuple[int, int]]) -> None:
        """`shape`: (utilization 0..100 rising, score 0..10)."""
        self._table = [_on_line(shape, percent) for percent in range(101)]

    def one(self, used: int, capacity: int) -> int:
        return self._table[min(used * 100 // capacity, 100)]

    def many(self, used: Ints, capacity: Ints, numpy: Any) -> Ints:
        percent = numpy.minimum(used * 100 // numpy.maximum(capacity, 1), 100)
        scores: Ints = numpy.array(self._table, dtype=numpy.int64)[percent]
        return scores

    def counts_zero(self) -> bool:
        return False

    def mean(self, total: int, weights: int) -> int:
        return (2 * total + weights) // (2 * weights) if weights else 0

    def mean_many(self, total: Ints, weights: Ints, numpy: Any) -> Ints:
        rounded: Ints = (2 * total + weights) // numpy.maximum(2 * weights, 1)
        return rounded


def _on_line(shape: Sequence[tuple[int, int]], percent: int) -> int:
    """The score at this utilization, in steps of whole numbers truncated towards zero, as upstream counts."""
    before: tuple[int, int] | None = None
    for utilization, raw in shape:
        score = raw * MAX_SCORE // 10
        if percent <= utilization:
            if before is None:
                return score
            rise = (score - before[1]) * (percent - before[0])
            return before[1] + int(rise / (utilization - before[0]))
        before = (utilization, score)
    return before[1] if before is not None else 0


def read_strategy(plain: Mapping[str, Any] | None) -> Strategy:
    """The strategy that `scoringStrategy` names."""
    kind = (plain or {}).get("type") or "LeastAllocated"
    if kind == "LeastAllocated":
        return LeastAllocated()
    if kind == "MostAllocated":
        return MostAllocated()
    if kind == "RequestedToCapacityRatio":
        path = "scoringStrategy.requestedToCapacityRatio.shape"
        shape = ((plain or {}).get("requestedToCapacityRatio") or {}).get("shape")
        return RequestedToCapacityRatio(read_shape(shape, path))
    known = "LeastAllocated, MostAllocated, RequestedToCapacityRatio"
    raise ValueError(f"scoringStrategy.type: {kind!r} is not supported; must be one of {known}")


def read_shape(plain: Any, path: str) -> list[tuple[int, int]]:
    """The points of a line: (utilization, score)."""
    shape = [(point.get("utilization", 0), point.get("score", 0)) for point in plain or ()]
    if not shape:
        raise ValueError(f"{path}: at least one point must be given")
    for i, (utilization, score) in enumerate(shape):
        if not 0 <= utilization <= 100 or not 0 <= score <= 10:
            raise ValueError(f"{path}[{i}]: utilization must be between 0 and 100, score between 0 and 10")
        if i and utilization <= shape[i - 1][0]:
            raise ValueError(f"{path}[{i}].utilization: values must be sorted in increasing order")
    return shape
