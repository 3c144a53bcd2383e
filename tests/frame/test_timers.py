"""Long stretches of virtual time: what may be late, what is put off by a sign of life, and what never is."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref

import pytest

from kybern.clock import SystemClock, VirtualClock

pytestmark = pytest.mark.anyio


class Beats:
    """Something that beats every ten seconds, and one who looks whether it still does."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.beats, self.looks = clock, [], []
        clock.begin_pulse("heart")
        self.beat()
        self.look()

    def beat(self) -> None:
        self.beats.append(self.clock.now())
        self.timer = self.clock.call_later(10, self.beat, leap=math.inf)

    def look(self) -> None:
        self.looks.append(self.clock.now())
        left = self.beats[-1] + 50 - self.clock.now()
        if left > 0:
            self.clock.call_later(left, self.look, unless="heart")


async def test_while_nothing_happens_one_beat_stands_for_all() -> None:
    body = Beats(VirtualClock(start=0))
    await body.clock.advance(86_400)
    assert body.beats == [0, 86_400]
    assert body.looks == [0]


async def test_whatever_happens_finds_beats_that_are_not_late() -> None:
    clock, ages = VirtualClock(start=0), []
    body = Beats(clock)
    for at in (5, 105, 106, 7205):
        clock.call_later(at, lambda: ages.append(clock.now() - body.beats[-1]))
    await clock.advance(10_000)
    assert ages == [5, 0, 1, 0]
    assert body.beats == [0, 105, 7205, 10_000]


async def test_short_steps_leave_nothing_out() -> None:
    body = Beats(VirtualClock(start=0))
    for _ in range(100):
        await body.clock.advance(1)
    assert body.beats == list(range(0, 101, 10))


async def test_one_who_falls_silent_is_found_out_in_time() -> None:
    body = Beats(VirtualClock(start=0))
    await body.clock.advance(86_400)
    body.timer.cancel()
    body.clock.end_pulse("heart")
    await body.clock.advance(86_400)
    # The look that was put off finds the last beat young, the one after that finds none.
    assert body.looks == [0, 86_400, 86_450]


async def test_lateness_has_a_limit() -> None:
    clock, at = VirtualClock(start=0), []

    async def glance() -> None:
        while True:
            await clock.sleep(10, leap=290)
            at.append(clock.now())

    task = asyncio.ensure_future(glance())
    await clock.advance(1000)
    task.cancel()
    assert at == [300, 600, 900, 1000]


async def test_real_time_has_no_leaps() -> None:
    clock, called = SystemClock(), asyncio.get_running_loop().create_future()
    clock.begin_pulse("heart")
    assert not clock.beats("heart")
    clock.call_later(0.001, called.set_result, None, leap=math.inf, unless="heart")
    await called


async def test_what_is_cancelled_at_its_own_instant_is_not_called() -> None:
    clock, called = VirtualClock(), []

    def one_or_the_other(name: str) -> None:
        called.append(name)
        for timer in timers:
            timer.cancel()

    timers = [clock.call_later(1, one_or_the_other, name, leap=10) for name in ("a", "b")]
    await clock.advance(60)
    assert called == ["a"]


async def test_timers_that_are_over_are_not_kept() -> None:
    clock = VirtualClock()
    kept = weakref.WeakSet()

    class Called:
        def __call__(self) -> None:
            pass

    def again() -> None:
        callback = Called()
        kept.add(callback)
        clock.call_later(1, callback, leap=math.inf)
        clock.call_later(2, again)

    clock.call_later(1_000_000, again, leap=1)
    again()
    await clock.advance(1000)
    gc.collect()
    assert len(kept) <= 1
