"""How containers come to their end: by a timer of their own, or because somebody ends them; and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from kybern.clock import Timer
from kybern.node.runtime import ContainerState
from kybern_runtime_fake.journal import ContainerRecord
from kybern_runtime_fake.life import state_of

if TYPE_CHECKING:
    from kybern_runtime_fake.driver import FakeDriver

__all__ = ["Ends"]


class Ends:
    """The ends of one node's containers. `expired` is called with each that ended by itself."""

    def __init__(self, driver: FakeDriver, expired: Callable[[ContainerRecord], None]) -> None:
        self._driver = driver
        self._clock = driver.clock
        self._expired = expired
        self._timers: dict[str, Timer] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def close(self) -> None:
        """Forget timers; the records are on disk."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def arm(self, record: ContainerRecord) -> None:
        """Wait for the container's own end, if it has one."""
        if timer := self._timers.pop(record.id, None):
            timer.cancel()
        if record.exit_at is None or record.finished:
            return
        left = record.exit_at - self._clock.now()
        self._timers[record.id] = self._clock.call_later(max(left, 0.0), self._expire, record)

    def _expire(self, record: ContainerRecord) -> None:
        record.finished = True
        self._settle(record)
        self._expired(record)

    def end(self, record: ContainerRecord, code: int, reason: str, message: str = "") -> None:
        """It ends now."""
        record.exit_at, record.exit_code, record.finished = self._clock.now(), code, True
        record.reason = reason
        if message:
            record.message = message
        self._settle(record)
        self._driver.journal.put(record)

    def _settle(self, record: ContainerRecord) -> None:
        """It has ended: tell those who wait for it."""
        if timer := self._timers.pop(record.id, None):
            timer.cancel()
        for future in self._waiting.pop(record.id, ()):
            if not future.done():
                future.set_result(None)

    async def stop(self, record: ContainerRecord, timeout: float) -> None:
        """Ask it to end, as a signal does, and wait until it has, or was killed."""
        asked = float(record.behaviour.get("stop_delay", 0.0))
        usual = record.script.stop_code if record.script is not None else 0
        code = int(record.behaviour.get("stop_exit_code", usual))
        delay, code = (asked, code) if asked < timeout else (timeout, 137)
        if delay <= 0:
            self.end(record, code, "")
            return
        ends_at = self._clock.now() + delay
        if record.exit_at is None or ends_at < record.exit_at:
            record.exit_at, record.exit_code, record.reason = ends_at, code, ""
            self.arm(record)
            self._driver.journal.put(record)
        await self.ended(record)

    async def ended(self, record: ContainerRecord) -> None:
        """Return when it runs no more."""
        while state_of(record, self._clock.now()) is ContainerState.RUNNING:
            future = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(record.id, []).append(future)
            await future
