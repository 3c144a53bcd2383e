"""PrioritySort: pods of higher priority are tried first, among equals the one that waits longest."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Hint, Policy


class PrioritySort(Policy):
    """The default order of the queue."""

    name = "PrioritySort"
    default = True

    def hints(self) -> Iterable[Hint]:
        """It rejects nobody."""
        return ()

    def sort_key(self, pod: PodInfo, queued_at: float) -> tuple[int, float]:
        """Priority, then time."""
        return -pod.priority, queued_at
