"""Over a store that others write to as well, the cache follows the store's watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.clock import VirtualClock
from kybern.store.interface import Commit, Compacted, Op, StoreError
from tests.store.conftest import CODEC, PREFIX, Fixture, RemoteStore, config_map

pytestmark = pytest.mark.anyio


class UnreliableStore(RemoteStore):
    """Its watch fails when it is told to."""

    def __init__(self) -> None:
        super().__init__(None, VirtualClock())
        self.failure: StoreError | None = None

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Commit]]:
        async for commits in super().watch(prefix, after):
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            yield commits


async def fixture() -> tuple[Fixture, UnreliableStore]:
    store = UnreliableStore()
    await store.start()
    assert isinstance(store.clock, VirtualClock)
    cached = Fixture(store, store.clock)
    cached.maps = await cached.cache.add(PREFIX, CODEC)
    await cached.cache.start()
    return cached, store


async def elsewhere(store: RemoteStore, name: str) -> int:
    """A write by another API server."""
    return await store.commit([Op(f"{PREFIX}default/{name}", types.encode(config_map(name)))])


async def test_reads_that_must_be_fresh_see_what_others_wrote() -> None:
    cached, store = await fixture()
    watch = await cached.maps.watch()
    revision = await elsewhere(store, "theirs")
    assert cached.cache.revision < revision
    assert await cached.names() == ["theirs"]
    assert [event.revision for event in watch.queue] == [revision]
    await cached.cache.close()


async def test_a_broken_watch_is_taken_up_where_it_broke() -> None:
    cached, store = await fixture()
    watch = await cached.maps.watch()
    store.failure = StoreError("connection lost")
    await elsewhere(store, "a")
    await elsewhere(store, "b")
    await cached.clock.advance(2)
    assert [event.revision for event in watch.queue] == [2, 3] and not watch.ended
    await cached.cache.close()


async def test_a_cache_that_fell_behind_starts_afresh_and_says_so() -> None:
    cached, store = await fixture()
    watch = await cached.maps.watch()
    store.failure = Compacted(1, 3)
    await elsewhere(store, "a")
    await elsewhere(store, "b")
    await cached.clock.advance(2)
    with pytest.raises(StatusError) as error:
        await asyncio.wait_for(watch.take(), 10)
    assert error.value.code == 410
    assert await cached.names() == ["a", "b"]
    again = await cached.maps.watch(resource_version="3")
    await elsewhere(store, "c")
    await cached.clock.advance(0)
    assert [event.revision for event in again.queue] == [4]
    await cached.cache.close()
