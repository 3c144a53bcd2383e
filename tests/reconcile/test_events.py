"""Events: counted when repeated, combined when similar, held back when too many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from kybern.api.core import Event, Pod
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.clock import VirtualClock, settle
from kybern.reconcile.events import Events
from kybern.testing.client import WorldClient

pytestmark = pytest.mark.anyio


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.client = WorldClient(self.clock)
        self.events = Events(self.client, self.clock)
        self.recorder = self.events.recorder("tester", "host-1")

    def written(self) -> list[Any]:
        return self.client.all(Event)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.events.run)
        yield world
        tasks.cancel_scope.cancel()


def pod(name: str = "p") -> Any:
    return Pod(metadata=ObjectMeta(name=name, namespace="shop", uid=f"uid-{name}"))


async def test_an_event_says_what_about_whom_by_whom(world: World) -> None:
    world.recorder.event(pod(), "Normal", "Started", "Started it")
    await settle()
    (event,) = world.written()
    about = event.involvedObject
    assert (about.kind, about.apiVersion, about.namespace, about.name, about.uid) == ("Pod", "v1", "shop", "p", "uid-p")
    assert (event.type, event.reason, event.message, event.count) == ("Normal", "Started", "Started it", 1)
    assert (event.source.component, event.source.host) == ("tester", "host-1")
    assert event.metadata.namespace == "shop" and event.metadata.name.startswith("p.")
    assert event.firstTimestamp == event.lastTimestamp == "2026-01-01T00:00:00Z"


async def test_a_repeated_event_is_counted(world: World) -> None:
    for _ in range(3):
        world.recorder.event(pod(), "Warning", "Failed", "again")
        await settle()
        await world.clock.advance(60)
    (event,) = world.written()
    assert (event.count, event.firstTimestamp, event.lastTimestamp) == (
        3,
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:02:00Z",
    )


async def test_many_similar_events_are_combined(world: World) -> None:
    for number in range(14):
        world.recorder.event(pod(), "Normal", "Pulling", f"image {number}")
    await settle()
    events = world.written()
    assert len(events) == 10
    combined = [(e.message, e.count) for e in events if e.message.startswith("(combined")]
    assert combined == [("(combined from similar events): image 13", 5)]


async def test_similar_events_that_are_far_apart_are_not_combined(world: World) -> None:
    for number in range(14):
        world.recorder.event(pod(), "Normal", "Pulling", f"image {number}")
        await settle()
        await world.clock.advance(700)
    assert len(world.written()) == 14


async def test_a_talkative_source_is_held_back_per_object(world: World) -> None:
    for number in range(40):
        world.recorder.event(pod(), "Normal", f"Reason{number}", "x")
    world.recorder.event(pod("other"), "Normal", "Reason", "x")
    await settle()
    assert len(world.written()) == 26
    await world.clock.advance(301)
    world.recorder.event(pod(), "Normal", "Later", "x")
    await settle()
    assert len(world.written()) == 27


async def test_events_of_one_instant_have_names_of_their_own(world: World) -> None:
    for number in range(5):
        world.recorder.event(pod(), "Normal", f"R{number}", "x")
    await settle()
    assert len({e.metadata.name for e in world.written()}) == 5


async def test_a_server_that_is_down_gets_the_event_later(world: World) -> None:
    def refuse(*_: Any) -> None:
        raise StatusError(503, "ServiceUnavailable", "down")

    world.client.intercept = refuse
    world.recorder.event(pod(), "Normal", "Started", "x")
    await settle()
    world.client.intercept = None
    await world.clock.advance(15)
    assert len(world.written()) == 1


async def test_a_refused_event_is_given_up_and_nobody_hears_of_it(world: World) -> None:
    def refuse(*_: Any) -> None:
        raise StatusError.forbidden("events", "", "x", "the namespace is being terminated")

    world.client.intercept = refuse
    world.recorder.event(pod(), "Normal", "Started", "x")
    await settle()
    world.client.intercept = None
    await world.clock.advance(60)
    assert world.written() == []


async def test_an_event_that_expired_meanwhile_is_written_anew(world: World) -> None:
    world.recorder.event(pod(), "Normal", "Started", "x")
    await settle()
    (event,) = world.written()
    await world.client.remove(Event, event.metadata.name, "shop")
    world.recorder.event(pod(), "Normal", "Started", "x")
    await settle()
    (event,) = world.written()
    assert event.count == 2
