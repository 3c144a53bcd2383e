"""The work queue: each key once, never twice at a time, failures ever later."""

from __future__ import annotations

import asyncio

import pytest

from kybern.clock import VirtualClock, settle
from kybern.reconcile.queue import QueueClosed, WorkQueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def test_a_key_added_many_times_is_given_out_once(queue: WorkQueue[str]) -> None:
    for key in "aabab":
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_a_worker_has_it_comes_again_when_that_is_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_workers_wait_in_turn(queue: WorkQueue[str]) -> None:
    got: list[str] = []

    async def worker(name: str) -> None:
        got.append(f"{name} {await queue.get()}")

    tasks = [asyncio.create_task(worker(name)) for name in ("first", "second")]
    await settle()
    queue.add("a")
    queue.add("b")
    await asyncio.gather(*tasks)
    assert got == ["first a", "second b"]


async def test_a_cancelled_worker_passes_its_wake_up_on(queue: WorkQueue[str]) -> None:
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await settle()
    queue.add("a")
    first.cancel()
    await settle()
    assert second.done() and second.result() == "a"


async def test_failures_double_the_delay_up_to_the_limit_until_forgotten(queue: WorkQueue[str]) -> None:
    delays = [queue.add_failed("a") for _ in range(20)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 1000.0
    queue.forget("a")
    assert queue.add_failed("a") == 0.005


async def test_of_several_delays_the_earliest_counts(queue: WorkQueue[str], clock: VirtualClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("a", 5)
    await clock.advance(1.9)
    assert len(queue) == 0
    await clock.advance(0.2)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(100)
    assert queue.idle


async def test_closing_ends_the_workers(queue: WorkQueue[str], clock: VirtualClock) -> None:
    waiting = asyncio.create_task(queue.get())
    await settle()
    queue.add_after("late", 5)
    queue.close()
    queue.add("more")
    await clock.advance(10)
    with pytest.raises(QueueClosed):
        await waiting
    assert clock.next_timer() is None
