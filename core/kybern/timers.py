"""The timers of virtual time: what falls due next, and what need not be stopped for (see `Clock.call_later`)."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

__all__ = ["Timers", "VirtualTimer"]


class VirtualTimer:
    """A callback that waits for its instant."""

    __slots__ = ("args", "callback", "due", "over", "unless")

    def __init__(self, due: float, callback: Callable[..., Any], args: tuple[Any, ...], unless: str) -> None:
        self.due = due
        self.callback = callback
        self.args = args
        self.unless = unless
        self.over = False
        """Called or cancelled."""

    def cancel(self) -> None:
        self.over = True
        # It may have been taken already, to be called at the same instant as whoever cancels it.
        self.callback, self.args = _nothing, ()


def _nothing() -> None:
    pass


Entry = tuple[float, int, VirtualTimer]
"""When, the order of those at the same time, what."""


class Timers:
    """All that wait. A timer is exact, or loose when it may be late."""

    def __init__(self) -> None:
        self._exact: list[Entry] = []
        self._loose: list[Entry] = []
        self._latest: list[Entry] = []
        """The loose ones by the time that they must not be later than, when there is one."""
        self._put_off: dict[str, list[Entry]] = {}
        """The pulses that beat, with the exact ones that are not needed while they do."""
        self._order = itertools.count()

    def add(self, timer: VirtualTimer, leap: float) -> VirtualTimer:
        """Take it up; `leap`: how late it may be."""
        number = next(self._order)
        if leap:
            heapq.heappush(self._loose, (timer.due, number, timer))
            if leap < math.inf:  # the others would never come to the front, and never go
                heapq.heappush(self._latest, (timer.due + leap, number, timer))
        else:
            heapq.heappush(self._exact, (timer.due, number, timer))
        return timer

    def next_due(self) -> float | None:
        """When the next one would like to be called; None when none waits."""
        due = min(self._first_exact(), _first(self._loose))
        return None if due == math.inf else due

    def take(self, end: float) -> tuple[float, list[VirtualTimer]]:
        """The next instant until `end`, and what is to be called then: the loose ones that are due, or an exact one."""
        exact = self._first_exact()
        instant = min(end, exact, _first(self._latest))
        taken = []
        while _first(self._loose) <= instant:
            taken.append(heapq.heappop(self._loose)[2])
            taken[-1].over = True
        if not taken and exact <= end:
            taken.append(heapq.heappop(self._exact)[2])
            taken[-1].over = True
        return instant, taken

    def _first_exact(self) -> float:
        while (due := _first(self._exact)) < math.inf and (pulse := self._exact[0][2].unless) in self._put_off:
            waiting = [entry for entry in self._put_off[pulse] if not entry[2].over]
            self._put_off[pulse] = [*waiting, heapq.heappop(self._exact)]
        return due

    def begin_pulse(self, name: str) -> None:
        """From now on it beats."""
        self._put_off.setdefault(name, [])

    def beats(self, pulse: str) -> bool:
        return pulse in self._put_off

    def end_pulse(self, name: str) -> None:
        """What was put off by it counts again."""
        for entry in self._put_off.pop(name, ()):
            heapq.heappush(self._exact, entry)


def _first(heap: list[Entry]) -> float:
    """When the first one is due that is not over; infinity when there is none."""
    while heap and heap[0][2].over:
        heapq.heappop(heap)
    return heap[0][0] if heap else math.inf
