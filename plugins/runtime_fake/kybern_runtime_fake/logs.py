"""What a container has written, and what it writes while it is followed: worked out from its script and the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from kybern.api.time import format_time
from kybern.clock import Clock
from kybern.node.runtime import ContainerState, LogLine
from kybern_runtime_fake.ends import Ends
from kybern_runtime_fake.journal import ContainerRecord
from kybern_runtime_fake.life import log_script, state_of
from kybern_runtime_fake.script import DATE, Script

__all__ = ["read_logs"]


async def read_logs(record: ContainerRecord, ends: Ends, clock: Clock, follow: bool) -> AsyncIterator[LogLine]:
    """The lines so far; with `follow` also those to come, until the container ends."""
    script, told = log_script(record), -1.0
    while record.started_at:
        running = state_of(record, clock.now()) is ContainerState.RUNNING
        age = (clock.now() if running else record.exit_at or clock.now()) - record.started_at
        for at, text in script.lines_until(age + 1e-6):
            if at > told:
                when = record.started_at + at
                yield LogLine(when, "stdout", text.replace(DATE, format_time(when)).encode())
        told = age + 1e-6
        if not follow or not running:
            return
        await _next_line(record, ends, clock, script, age)


async def _next_line(record: ContainerRecord, ends: Ends, clock: Clock, script: Script, age: float) -> None:
    """Until it writes again, or ends."""
    upcoming = script.next_line(age + 1e-6)
    ended = asyncio.ensure_future(ends.ended(record))
    try:
        await clock.wait_for(ended, upcoming - age if upcoming is not None else None)
    except TimeoutError:
        return
    finally:
        ended.cancel()
