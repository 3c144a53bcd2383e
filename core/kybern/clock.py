"""All time in Kybern comes from a Clock, so that a test can make an hour pass in milliseconds.

Every component is handed one clock at construction. `SystemClock` is the real one; `VirtualClock`
stands still until somebody advances it; `PacedClock` is the virtual time of a running test cluster,
which follows real time at a rate until it is frozen or advanced. Nothing outside this module reads
the machine's time or sleeps on the event loop (a lint rule enforces it).
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from kybern.timers import Timers, VirtualTimer

T = TypeVar("T")

__all__ = ["Clock", "PacedClock", "SystemClock", "Timer", "VirtualClock"]


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Forget the callback; harmless when it has run already."""


class Clock(ABC):
    """Where time comes from. Seconds everywhere; wall time is UTC."""

    @abstractmethod
    def now(self) -> float:
        """Wall time in seconds since the Unix epoch."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean something."""

    @abstractmethod
    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        leap: float = 0.0,
        unless: str = "",
    ) -> Timer:
        """Run a plain callback after `delay` seconds on the running event loop.

        The rest is for long stretches of virtual time in which nothing happens, and means nothing in real time.
        `leap`: seconds that it may be late by when nothing else is due before: of a thing done over and over, like
        tidying up, one time then stands for all. `unless`: it need not be called while that pulse beats.
        """

    def begin_pulse(self, name: str) -> None:
        """Somebody gives signs of life by this clock from now on, and ends the pulse when that is over."""
        return

    def end_pulse(self, name: str) -> None:
        """No more signs of life; harmless when there were none."""
        return

    def beats(self, pulse: str) -> bool:
        """Whether no sign of life can be missing, however old the last one is."""
        return False

    async def sleep(self, seconds: float, leap: float = 0.0) -> None:
        """Return after `seconds`; zero and less only let other tasks run. `leap`: see `call_later`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, _wake, woken, leap=leap)
        try:
            await woken
        finally:
            timer.cancel()

    async def wait_for(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        """Await with a limit of `timeout` seconds (None: no limit); raises TimeoutError."""
        if timeout is None:
            return await awaitable
        task = asyncio.ensure_future(awaitable)
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            task.cancel()

        timer = self.call_later(timeout, expire)
        try:
            return await task
        except asyncio.CancelledError:
            if expired:
                raise TimeoutError(f"no answer within {timeout} seconds") from None
            task.cancel()
            raise
        finally:
            timer.cancel()

    @property
    def outside(self) -> Clock:
        """The clock by which other machines judge what is shown to them: certificates."""
        return self


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SystemClock(Clock):
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        leap: float = 0.0,
        unless: str = "",
    ) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback, *args)


class VirtualClock(Clock):
    """Time that moves only when told to.

    `advance` fires the timers that fall due in their order, each at its own instant, and lets
    every task that a timer woke run until nothing is ready before the next one fires. So an hour
    of leases, probes and back-offs passes in milliseconds and always in the same order.
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        """`start`: wall time in seconds since the epoch; 2026-01-01T00:00:00Z unless told."""
        self._start = start
        self._elapsed = 0.0
        self._timers = Timers()

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        leap: float = 0.0,
        unless: str = "",
    ) -> Timer:
        return self._timers.add(VirtualTimer(self._elapsed + max(delay, 0.0), callback, args, unless), leap)

    def begin_pulse(self, name: str) -> None:
        self._timers.begin_pulse(name)

    def end_pulse(self, name: str) -> None:
        self._timers.end_pulse(name)

    def beats(self, pulse: str) -> bool:
        return self._timers.beats(pulse)

    def next_timer(self) -> float | None:
        """Seconds until the next timer falls due; None when none waits."""
        due = self._timers.next_due()
        return None if due is None else max(due - self._elapsed, 0.0)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end = self._elapsed + seconds
        await self._rest()
        while self._fire_next(end):
            await self._rest()
        self._elapsed = end

    def _fire_next(self, end: float) -> bool:
        """Run what falls due next until `end`, at its own instant; False when there is nothing."""
        instant, timers = self._timers.take(end)
        if not timers:
            return False
        self._elapsed = max(self._elapsed, instant)
        for timer in timers:
            timer.callback(*timer.args)
        return True

    async def _rest(self) -> None:
        """Let what a timer set going come to its end."""
        await settle()

    async def advance_until(self, done: Callable[[], bool], limit: float = 3600.0) -> None:
        """Let time pass, timer by timer, until `done()`; TimeoutError after `limit` seconds."""
        end = self._elapsed + limit
        await self._rest()
        while not done():
            wait = self.next_timer()
            if wait is None or self._elapsed + wait > end:
                raise TimeoutError(f"not so after {limit} seconds of virtual time")
            await self.advance(wait)


class PacedClock(VirtualClock):
    """Virtual time for a running cluster: follows real time at `rate` while `run` runs, and can be advanced."""

    TICK = 0.02
    """Real seconds between two steps of `run`."""

    def __init__(self, start: float, rate: float = 1.0) -> None:
        """`rate`: virtual seconds per real second; 0: time stands still."""
        super().__init__(start)
        self.rate = rate
        self._moving = asyncio.Lock()

    @property
    def outside(self) -> Clock:
        return SystemClock()

    async def run(self) -> None:
        """Follow real time until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(self.TICK)
            async with self._moving:
                real = time.monotonic()
                end = self._elapsed + (real - last) * self.rate
                last = real
                while self._fire_next(end):
                    pass
                self._elapsed = end

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass as fast as the work in them can be done."""
        async with self._moving:
            await super().advance(seconds)

    async def advance_some(self, seconds: float, within: float) -> float:
        """The same for as long as `within` real seconds last; how many seconds are left to pass."""
        async with self._moving:
            end, until = self._elapsed + seconds, time.monotonic() + within
            await self._rest()
            while time.monotonic() < until:
                if not self._fire_next(end):
                    self._elapsed = end
                    break
                await self._rest()
            return end - self._elapsed


async def settle() -> None:
    """Let every task that can run do so until the event loop has nothing ready.

    asyncio keeps its ready callbacks in `_ready`; a loop that hides them (uvloop) gets a fixed
    number of turns instead, which is enough for any chain of wake-ups we have.
    """
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    for _ in range(100_000 if ready is not None else 200):
        await asyncio.sleep(0)
        if ready is not None and not ready:
            return
