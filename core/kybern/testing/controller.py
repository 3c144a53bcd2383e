"""What any controller must stand, ours or a stranger's: subclass `ControllerContract` and say what it works on.

    class TestMyController(ControllerContract):
        def make(self) -> Controller:
            return MyController()

        async def populate(self, world: World) -> None:
            await world.apply(MyKind, {"metadata": {"name": "a"}, "spec": {...}})

The suite kills the controller before and after every single write, refuses writes, loses answers, lets the caches lag,
runs two copies at once, and looks for changes to shared objects. What comes out in the end must be, object by object,
what comes out when nothing goes wrong; only uids, revisions, times and generated names may differ.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, ClassVar, Literal

import anyio
import attrs
import pytest

from kybern.api.errors import StatusError
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller, Key
from kybern.testing.client import Hook, ObservedClient
from kybern.testing.state import differences
from kybern.testing.world import World

__all__ = ["ControllerContract"]

GIVEN_UP = 320
"""Seconds after a crash: whoever waits for something that the crash lost gives up after five minutes."""
BACKED_OFF = 1000
"""Seconds after refusals: the longest back-off."""


class _Killed(BaseException):
    """The controller's process is gone."""


@attrs.frozen
class _Outcome:
    """What an undisturbed run does and leaves."""

    actions: list[str]
    writes: list[str]
    """The actions, without Events."""
    state: list[str]


@pytest.mark.anyio
class ControllerContract:
    """Override `make` and `populate`; `act` where somebody else (a kubelet) has to do his part, `check` to say what
    must have come of it."""

    ignore: ClassVar[tuple[str, ...]] = ()
    """Names of fields whose content is never twice the same, as that of a certificate."""
    _undisturbed: ClassVar[_Outcome | None] = None

    def make(self) -> Controller:
        """A new controller."""
        raise NotImplementedError

    def others(self) -> list[Controller]:
        """Controllers that it works together with."""
        return []

    def world(self) -> World:
        """An empty world."""
        return World()

    async def populate(self, world: World) -> None:
        """Create what the controller shall work on."""
        raise NotImplementedError

    async def act(self, world: World) -> None:
        """Let the world come to rest. Called again after a crash, and may be cut short by one."""
        await world.settle(60)

    def check(self, world: World) -> None:
        """Assert what must have come of it."""

    async def populated(self) -> World:
        """A world before the controller's first look at it."""
        world = self.world()
        await self.populate(world)
        return world

    @asynccontextmanager
    async def at_work(
        self,
        world: World,
        *,
        intercept: Hook | None = None,
        interrupt: Hook | None = None,
        lag: Callable[[], float] | None = None,
    ) -> AsyncIterator[ObservedClient]:
        """The controllers, and the client by which they (and nobody else) reach the server. Disturbed from the first
        write on: much is done before this is entered."""
        client = ObservedClient(world.client, world.clock)
        client.intercept, client.interrupt, client.lag = intercept, interrupt, lag
        async with world.running(self.make(), *self.others(), client=client):
            yield client

    async def undisturbed(self) -> _Outcome:
        """How it goes when nothing goes wrong. Done once per class."""
        cls = type(self)
        if "_undisturbed" not in vars(cls):
            world = await self.populated()
            async with self.at_work(world) as client:
                await self.act(world)
            self.check(world)
            cls._undisturbed = _Outcome(client.actions, _writes(client), world.client.state(self.ignore))
        assert cls._undisturbed is not None
        return cls._undisturbed

    async def finish(self, world: World, seconds: float, told: str) -> None:
        """Without further disturbance it comes to the same end."""
        async with self.at_work(world):
            await world.settle(seconds)
            await self.act(world)
        await self.compare(world, told)

    async def compare(self, world: World, told: str) -> None:
        """What came of it, against what should have."""
        wrong = differences((await self.undisturbed()).state, world.client.state(self.ignore))
        assert not wrong, f"{told}, it comes to another end:\n" + "\n".join(wrong)
        assert world.client.mutated() == [], told
        self.check(world)

    def test_has_a_name_and_workers(self) -> None:
        controller = self.make()
        assert controller.name and controller.name == controller.name.lower()
        assert controller.workers >= 1

    async def test_a_key_of_nothing_is_no_work(self) -> None:
        world = self.world()
        controller = self.make()
        async with world.running(controller):
            await world.settle()
            world.took()
            for key in (Key("default", "gone"), Key("", "gone")):
                await controller.reconcile(key)
        assert world.took() == []

    async def test_does_something(self) -> None:
        assert (await self.undisturbed()).actions

    async def test_shared_objects_are_not_changed(self) -> None:
        world = await self.populated()
        async with self.at_work(world):
            await self.act(world)
        assert world.client.mutated() == []

    async def test_at_rest_nothing_is_written(self) -> None:
        world = await self.populated()
        async with self.at_work(world):
            await self.act(world)
        async with self.at_work(world) as client:
            await world.settle(1800)
        assert _writes(client) == []

    @pytest.mark.parametrize("moment", ["before", "after"])
    async def test_killed_at_any_write_it_comes_to_the_same_end(self, moment: Literal["before", "after"]) -> None:
        for number, write in enumerate((await self.undisturbed()).writes):
            await self.killed_once(moment, number, write)

    async def killed_once(self, moment: Literal["before", "after"], number: int, write: str) -> None:
        """Killed at one write, and started again."""
        world, left = await self.populated(), [number]

        def kill(verb: str, kind: type[Any], namespace: str, name: str) -> None:
            left[0] -= kind.__name__ != "Event"
            if left[0] < 0:
                raise _Killed

        before, after = (kill, None) if moment == "before" else (None, kill)
        try:
            async with self.at_work(world, intercept=before, interrupt=after):
                await self.act(world)
        except* _Killed:
            pass
        if left[0] >= 0:
            return  # a write that failed (a conflict, say) has no end after which to die
        await self.finish(world, GIVEN_UP, f"Killed {moment} write {number + 1} (as it was: {write})")

    @pytest.mark.parametrize("reason", ["Conflict", "ServiceUnavailable"])
    async def test_every_other_write_refused_it_comes_to_the_same_end(self, reason: str) -> None:
        world = await self.populated()
        refuse = _every_other(StatusError(409 if reason == "Conflict" else 503, reason, "not now"))
        async with self.at_work(world, intercept=refuse) as client:
            await self.act(world)
            client.intercept = None
            await world.settle(BACKED_OFF)
            await self.act(world)
        await self.compare(world, f"With every other write refused ({reason})")

    async def test_every_other_answer_lost_it_comes_to_the_same_end(self) -> None:
        world = await self.populated()
        lose = _every_other(StatusError(503, "ServiceUnavailable", "the connection broke"))
        async with self.at_work(world, interrupt=lose) as client:
            await self.act(world)
            client.interrupt = None
            await world.settle(BACKED_OFF)
            await self.act(world)
        await self.compare(world, "With every other answer lost")

    async def test_with_caches_that_lag_it_comes_to_the_same_end(self) -> None:
        world, delays = await self.populated(), cycle((0.0, 0.5, 0.0, 0.0, 2.0))
        async with self.at_work(world, lag=lambda: next(delays)) as client:
            await self.act(world)
            client.lag = None
            await world.settle(GIVEN_UP)
            await self.act(world)
        await self.compare(world, "With caches that lag")

    async def test_two_at_once_come_to_the_same_end_and_rest(self) -> None:
        world = await self.populated()
        async with self.at_work(world) as one, self.at_work(world) as other:
            await self.act(world)
            await world.settle(GIVEN_UP)
            await self.act(world)
            one.actions.clear()
            other.actions.clear()
            await world.settle(1800)
        assert _writes(one) + _writes(other) == [], "they go on correcting each other"
        await self.compare(world, "With two at work at once")

    async def test_set_up_over_caches_that_are_full_already(self, caplog: pytest.LogCaptureFixture) -> None:
        """In a whole cluster the informers may run before the controller is made."""
        world = await self.populated()
        informers, events = Informers(world.client, world.clock), Events(world.client, world.clock)
        filling, engine = (Engine(world.client, world.clock, informers, events) for _ in range(2))
        for controller in (self.make(), *self.others()):
            filling.add(controller)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informers.run)
            await informers.synced()
            for controller in (self.make(), *self.others()):
                engine.add(controller)
            tasks.start_soon(engine.run)
            await self.act(world)
            tasks.cancel_scope.cancel()
        assert [record.getMessage() for record in caplog.records if "callback" in record.getMessage()] == []
        await self.compare(world, "Over full caches")


def _writes(client: ObservedClient) -> list[str]:
    return [action for action in client.actions if " Event " not in action]


def _every_other(error: StatusError) -> Hook:
    """A hook that breaks the first write, the third, and so on; Events go through."""
    broken = cycle((True, False))

    def check(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind.__name__ != "Event" and next(broken):
            raise error

    return check
