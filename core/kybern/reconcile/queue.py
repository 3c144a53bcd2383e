"""The work queue between informers and a controller's workers.

A key that is added many times before a worker takes it is handed out once; a key that is added
while a worker has it is handed out again afterwards, never at the same time. Failed keys come back
with an exponential delay of their own. (The semantics of client-go's workqueue.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kybern.clock import Clock, Timer

T = TypeVar("T", bound=Hashable)

__all__ = ["QueueClosed", "WorkQueue"]

BACKOFF_BASE = 0.005
BACKOFF_LIMIT = 1000.0


class QueueClosed(Exception):
    """The queue gives out no more keys."""


class WorkQueue(Generic[T]):
    """Keys waiting for a worker. All methods but `get` return at once."""

    def __init__(self, clock: Clock, base: float = BACKOFF_BASE, limit: float = BACKOFF_LIMIT) -> None:
        self._clock = clock
        self._base = base
        self._limit = limit
        self._ready: deque[T] = deque()
        self._dirty: set[T] = set()
        self._processing: set[T] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._delayed: dict[T, tuple[float, Timer]] = {}
        self._failures: dict[T, int] = {}
        self._closed = False

    def add(self, key: T) -> None:
        """Have the key worked on as soon as a worker is free."""
        if key in self._dirty or self._closed:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake_one()

    def add_after(self, key: T, delay: float) -> None:
        """Add the key in `delay` seconds; of several waiting adds of one key the earliest counts."""
        if delay <= 0:
            self.add(key)
            return
        if self._closed:
            return
        due = self._clock.monotonic() + delay
        waiting = self._delayed.get(key)
        if waiting is not None:
            if waiting[0] <= due:
                return
            waiting[1].cancel()
        self._delayed[key] = (due, self._clock.call_later(delay, self._fall_due, key))

    def add_failed(self, key: T) -> float:
        """Add the key after a delay that doubles with each failure since the last `forget`; returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2**60 steps are beyond any limit; the cap keeps the float finite.
        delay = min(self._base * 2.0 ** min(failures, 60), self._limit)
        self.add_after(key, delay)
        return delay

    def failures(self, key: T) -> int:
        """How often the key failed since the last `forget`."""
        return self._failures.get(key, 0)

    def forget(self, key: T) -> None:
        """The key succeeded: its next failure starts again with the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> T:
        """The next key; call `done` with it afterwards. QueueClosed when there will be none."""
        while not self._ready:
            if self._closed:
                raise QueueClosed
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except BaseException:
                self._pass_on(future)
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: T) -> None:
        """A worker is finished with the key; if it was added meanwhile it is ready again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake_one()

    def close(self) -> None:
        """Take no more keys; workers get QueueClosed once the ready ones are gone. Delayed keys are dropped."""
        self._closed = True
        for _, timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        self._ready.clear()
        self._dirty.clear()
        while self._waiting:
            self._wake_one()

    @property
    def idle(self) -> bool:
        """Whether nothing is ready and no worker has a key."""
        return not self._ready and not self._processing

    def __len__(self) -> int:
        return len(self._ready)

    def _fall_due(self, key: T) -> None:
        self._delayed.pop(key, None)
        self.add(key)

    def _wake_one(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _pass_on(self, future: asyncio.Future[None]) -> None:
        """A worker was cancelled: the wake-up it may have got belongs to another."""
        if future.done() and not future.cancelled():
            if self._ready:
                self._wake_one()
        elif future in self._waiting:
            self._waiting.remove(future)
