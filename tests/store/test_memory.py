"""The memory store keeps the contract, and forks and resets at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.clock import Clock, SystemClock
from kybern.store.interface import Compacted, Op, Store
from kybern.store.memory import MemoryStore
from kybern.testing.store import StoreContract

pytestmark = pytest.mark.anyio


class TestMemoryStore(StoreContract):
    durable = False

    async def make(self, path: Path, clock: Clock) -> Store:
        return MemoryStore(path, clock)


async def opened() -> MemoryStore:
    store = MemoryStore(None, SystemClock())
    await store.start()
    return store


async def keys(store: Store) -> list[str]:
    return [entry.key for entry in (await store.range("/")).entries]


async def test_a_fork_and_its_origin_go_separate_ways() -> None:
    origin = await opened()
    await origin.commit([Op("/a", b"1")])
    fork = origin.fork()
    assert await origin.commit([Op("/origin", b"")]) == await fork.commit([Op("/fork", b"")]) == 3
    assert await keys(origin) == ["/a", "/origin"]
    assert await keys(fork) == ["/a", "/fork"]


async def test_a_fork_of_a_fork_does_not_see_later_writes_of_either() -> None:
    origin = await opened()
    await origin.commit([Op("/a", b"1")])
    first = origin.fork()
    second = first.fork()
    await first.commit([Op("/a", None)])
    assert (await keys(origin), await keys(first), await keys(second)) == (["/a"], [], ["/a"])


async def test_a_fork_has_the_history_of_its_origin() -> None:
    origin = await opened()
    await origin.commit([Op("/a", b"1")])
    await origin.commit([Op("/a", b"2")])
    fork = origin.fork()
    await origin.compact(3)
    entry = await fork.get("/a", 2)
    assert entry is not None and entry.value == b"1"


async def test_reset_begins_again_and_ends_watches() -> None:
    store = await opened()
    await store.commit([Op("/a", b"1")])
    watch = store.watch("/", 1)
    await anext(watch)
    store.reset()
    with pytest.raises(Compacted):
        await anext(watch)
    assert store.revision == 1 and await keys(store) == []
    assert await store.commit([Op("/b", b"")]) == 2
