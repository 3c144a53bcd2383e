"""The virtual clock: time passes only when told to, timers fire in order, each at its own instant."""

from __future__ import annotations

import asyncio

import pytest

from kybern import SystemClock, VirtualClock

pytestmark = pytest.mark.anyio


async def test_an_hour_passes_in_order():
    clock, seen = VirtualClock(start=0), []

    async def every(seconds: float, name: str) -> None:
        while True:
            await clock.sleep(seconds)
            seen.append((clock.now(), name))

    tasks = [asyncio.ensure_future(every(1200, "a")), asyncio.ensure_future(every(1800, "b"))]
    await clock.advance(3600)
    for task in tasks:
        task.cancel()
    assert seen == [(1200, "a"), (1800, "b"), (2400, "a"), (3600, "b"), (3600, "a")]
    assert clock.now() == 3600


async def test_what_a_timer_wakes_runs_before_the_next_timer():
    clock, seen = VirtualClock(start=0), []

    async def chain() -> None:
        await clock.sleep(1)
        for _ in range(50):
            await asyncio.sleep(0)
        seen.append(("chain", clock.now()))

    task = asyncio.ensure_future(chain())
    clock.call_later(2, lambda: seen.append(("timer", clock.now())))
    await clock.advance(3)
    await task
    assert seen == [("chain", 1), ("timer", 2)]


async def test_a_cancelled_timer_does_not_fire():
    clock, seen = VirtualClock(), []
    clock.call_later(1, seen.append, "no").cancel()
    await clock.advance(2)
    assert seen == []
    assert clock.next_timer() is None


@pytest.mark.parametrize("clock", [VirtualClock(), SystemClock()], ids=["virtual", "system"])
async def test_waiting_has_a_limit(clock):
    waiting = asyncio.ensure_future(clock.wait_for(asyncio.get_running_loop().create_future(), 0.01))
    if isinstance(clock, VirtualClock):
        await clock.advance(0.01)
    with pytest.raises(TimeoutError):
        await waiting


async def test_advance_until_stops_as_soon_as_it_is_so():
    clock, seen = VirtualClock(start=0), []
    for second in range(1, 100):
        clock.call_later(second, seen.append, second)
    await clock.advance_until(lambda: len(seen) == 10)
    assert clock.now() == 10
    with pytest.raises(TimeoutError, match="not so after 5"):
        await clock.advance_until(lambda: False, limit=5)
