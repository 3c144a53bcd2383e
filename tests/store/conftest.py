"""A watch cache of ConfigMaps on a virtual clock, over a store in this process and over a remote one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import ConfigMap
from kybern.api.meta import ObjectMeta
from kybern.clock import VirtualClock
from kybern.store.cache import Codec, Item, ResourceCache, WatchCache
from kybern.store.interface import Commit, Op
from kybern.store.memory import MemoryStore

PREFIX = "/registry/configmaps/"
CODEC = Codec("v1", "ConfigMap", lambda data: types.decode(ConfigMap, data), types.encode)


class RemoteStore(MemoryStore):
    """A store as if it were elsewhere: no listener, no hints, and its watch comes late."""

    def on_commit(self, listener: Callable[[Sequence[Commit]], None]) -> bool:
        return False

    async def commit(self, ops: Sequence[Op]) -> int:
        await asyncio.sleep(0)
        return await super().commit([op._replace(hint=None) for op in ops])

    async def history(self, prefix: str, after: int, until: int, limit: int = 10_000) -> Sequence[Commit]:
        found = await super().history(prefix, after, until, limit)
        for _ in range(20):
            await asyncio.sleep(0)
        return found

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Commit]]:
        async for commits in super().watch(prefix, after):
            await asyncio.sleep(0)
            yield commits


def config_map(name: str, namespace: str = "default", labels: dict[str, str] | None = None, **data: str) -> Any:
    """A ConfigMap to write."""
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels), data=data or None)


class Fixture:
    """The cache, its one resource, and short ways to write to it."""

    def __init__(self, store: MemoryStore, clock: VirtualClock) -> None:
        self.store = store
        self.clock = clock
        self.cache = WatchCache(store, clock)
        self.maps: ResourceCache

    async def put(
        self, name: str, namespace: str = "default", labels: dict[str, str] | None = None, **data: str
    ) -> Item:
        """Create or replace."""
        old = self.maps.get(namespace, name)
        obj = config_map(name, namespace, labels, **data)
        return await (self.maps.create(obj) if old is None else self.maps.update(obj, old.revision))

    async def drop(self, name: str, namespace: str = "default") -> Item:
        """Delete."""
        old = self.maps.get(namespace, name)
        assert old is not None
        return await self.maps.delete(namespace, name, old.revision)

    async def names(self, **asked: Any) -> list[str]:
        """Names in a list."""
        return [item.object.metadata.name for item in (await self.maps.list(**asked)).items]


@pytest.fixture(params=[MemoryStore, RemoteStore])
async def cached(request: pytest.FixtureRequest) -> AsyncIterator[Fixture]:
    clock = VirtualClock()
    store = request.param(None, clock)
    await store.start()
    fixture = Fixture(store, clock)
    fixture.maps = await fixture.cache.add(PREFIX, CODEC)
    await fixture.cache.start()
    yield fixture
    assert fixture.cache.mutated() == []
    await fixture.cache.close()
    await store.close()
