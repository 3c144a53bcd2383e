"""Informers: one copy, always in step, whatever happens to the connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from kybern.api import types
from kybern.api.core import ConfigMap, Node
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.clock import VirtualClock, settle
from kybern.reconcile.informers import Informers, ObjectCache
from kybern.testing.client import WorldClient

pytestmark = pytest.mark.anyio


def config_map(name: str, namespace: str = "default", **data: str) -> Any:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace, labels=data or None))


class Seen:
    """What a handler was told, as `+name`, `~name`, `-name`."""

    def __init__(self, informer: Any) -> None:
        self.told: list[str] = []
        informer.on_change(self.changed)

    def changed(self, old: Any, new: Any) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        self.told.append(sign + (new if new is not None else old).metadata.name)

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.client = WorldClient(self.clock)
        self.informers = Informers(self.client, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.informers.run)
            await settle()
            yield
            tasks.cancel_scope.cancel()


@pytest.fixture
def world() -> World:
    return World()


async def test_lists_and_follows(world: World) -> None:
    await world.client.create(config_map("a"))
    informer = world.informers.informer(ConfigMap)
    seen = Seen(informer)
    async with world.running():
        await informer.synced()
        assert seen.take() == ["+a"]
        await world.client.create(config_map("b"))
        await world.client.patch(ConfigMap, "a", "default", {"metadata": {"labels": {"x": "y"}}})
        await world.client.delete(ConfigMap, "b", "default")
        await settle()
        assert seen.take() == ["+b", "~a", "-b"]
        assert informer.get("a", "default").metadata.labels == {"x": "y"}
        assert informer.get("b", "default") is None


async def test_objects_are_the_clients_own(world: World) -> None:
    informer = world.informers.informer(ConfigMap)
    async with world.running():
        await world.client.create(config_map("a"))
        await settle()
        assert informer.get("a", "default") is world.client.all(ConfigMap)[0]


async def test_there_is_one_informer_per_kind(world: World) -> None:
    assert world.informers.informer(ConfigMap) is world.informers.informer(ConfigMap)
    assert world.informers.informer(ConfigMap) is not world.informers.informer(Node)


async def test_a_late_handler_is_told_what_is_known(world: World) -> None:
    informer = world.informers.informer(ConfigMap)
    await world.client.create(config_map("a"))
    async with world.running():
        assert Seen(informer).told == ["+a"]


async def test_a_late_informer_starts_at_once(world: World) -> None:
    async with world.running():
        informer = world.informers.informer(ConfigMap)
        await world.client.create(config_map("a"))
        await informer.synced()
        await settle()
        assert len(informer) == 1


async def test_after_410_it_lists_again_and_tells_only_the_differences(world: World) -> None:
    for name in ("same", "changed", "gone", "replaced"):
        await world.client.create(config_map(name))
    informer = world.informers.informer(ConfigMap)
    seen = Seen(informer)
    async with world.running():
        seen.take()
        world.client.lag = lambda: 1.0
        await world.client.patch(ConfigMap, "changed", "default", {"metadata": {"labels": {"x": "y"}}})
        for name in ("gone", "replaced"):
            await world.client.delete(ConfigMap, name, "default")
        await world.client.create(config_map("replaced"))
        await world.client.create(config_map("new"))
        world.client.compact()
        await world.clock.advance(5)
        assert sorted(seen.take()) == ["+new", "+replaced", "-gone", "-replaced", "~changed"]
        assert len(informer) == 4


class Flaky(WorldClient):
    """Ends every watch after so many events, and refuses some requests."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.events_per_watch = 1
        self.refusals = 0
        self.lists = 0
        self.resumed_at: list[str] = []

    async def list(self, *args: Any, **kwargs: Any) -> Any:
        self.lists += 1
        self._maybe_refuse()
        return await super().list(*args, **kwargs)

    async def watch(self, kind: Any, namespace: str = "", **kwargs: Any) -> AsyncIterator[Any]:
        self.resumed_at.append(kwargs["resource_version"])
        self._maybe_refuse()
        left = self.events_per_watch
        async for event in super().watch(kind, namespace, **kwargs):
            yield event
            left -= 1
            if not left:
                return

    def _maybe_refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StatusError(503, "ServiceUnavailable", "down")


async def test_a_watch_that_ends_is_resumed_where_it_stopped() -> None:
    world = World()
    world.client = Flaky(world.clock)
    world.informers = Informers(world.client, world.clock)
    informer = world.informers.informer(ConfigMap)
    seen = Seen(informer)
    async with world.running():
        for name in "abc":
            await world.client.create(config_map(name))
        await settle()
        assert seen.take() == ["+a", "+b", "+c"]
        assert world.client.lists == 1
        assert world.client.resumed_at == ["1", "2", "3", "4"]


async def test_a_server_that_is_down_is_asked_less_and_less_often() -> None:
    world = World()
    world.client = Flaky(world.clock)
    world.client.refusals = 4
    world.informers = Informers(world.client, world.clock)
    informer = world.informers.informer(ConfigMap)
    async with world.running():
        await world.clock.advance(0.8 + 1.6 + 3.2)
        assert not informer.has_synced
        await world.clock.advance(6.4)
        assert informer.has_synced
        assert world.client.lists == 5


async def test_indexes_follow_changes() -> None:
    cache: ObjectCache[Any] = ObjectCache(ConfigMap)
    cache.put(config_map("a", color="red"))
    cache.add_index("color", lambda c: [c.metadata.labels["color"]] if c.metadata.labels else [])
    cache.put(config_map("b", color="red"))
    cache.put(config_map("a", color="blue"))
    assert [c.metadata.name for c in cache.by_index("color", "red")] == ["b"]
    assert [c.metadata.name for c in cache.by_index("color", "blue")] == ["a"]
    cache.remove("b", "default")
    assert cache.by_index("color", "red") == []
    assert cache.by_index("color", "green") == []


async def test_lists_by_namespace_and_selector() -> None:
    cache: ObjectCache[Any] = ObjectCache(ConfigMap)
    cache.put(config_map("a", "one", x="1"))
    cache.put(config_map("b", "two", x="1"))
    cache.put(config_map("c", "two"))
    assert [c.metadata.name for c in cache.list()] == ["a", "b", "c"]
    assert [c.metadata.name for c in cache.list("two")] == ["b", "c"]
    assert [c.metadata.name for c in cache.list("two", lambda labels: bool(labels))] == ["b"]
    assert cache.list("three") == []


async def test_a_handler_that_raises_disturbs_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    informer = world.informers.informer(ConfigMap)

    def bad(old: Any, new: Any) -> None:
        raise ValueError("handler")

    informer.on_change(bad)
    seen = Seen(informer)
    async with world.running():
        await world.client.create(config_map("a"))
        await settle()
        assert seen.take() == ["+a"]
        assert "a callback of the ConfigMap informer failed" in caplog.text


async def test_a_dropped_kind_is_told_as_deleted(world: World) -> None:
    await world.client.create(config_map("a"))
    informer = world.informers.informer(ConfigMap)
    seen = Seen(informer)
    async with world.running():
        seen.take()
        world.informers.drop(ConfigMap)
        await world.client.create(config_map("b"))
        await settle()
        assert seen.take() == ["-a"]


def test_the_same_version_is_not_told_twice() -> None:
    cache: ObjectCache[Any] = ObjectCache(ConfigMap)
    seen = Seen(cache)
    one = config_map("a")
    one.metadata.resourceVersion, one.metadata.uid = "5", "u"
    cache.put(one)
    cache.put(types.copy(one))
    assert seen.take() == ["+a"]
