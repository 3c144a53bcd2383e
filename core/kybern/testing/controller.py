"""What any controller must stand, ours or a stranger's: subclass `ControllerContract` and say what it works on.

    class TestMyController(ControllerContract):
        def make(self) -> Controller:
            return MyController()

        async def populate(self, world: World) -> None:
            await world.apply(MyKind, {"metadata": {"name": "a"}, "spec": {...}})

The suite kills the controller after every single write, refuses writes, and looks for changes to
shared objects; what must come out in the end is what comes out when nothing goes wrong.
"""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.errors import StatusError
from kybern.reconcile.interface import Controller, Key
from kybern.testing.world import World

__all__ = ["ControllerContract"]

STEPS = 12
"""So many writes are tried as the last before a crash."""


class _Killed(BaseException):
    """The controller's process is gone."""


@pytest.mark.anyio
class ControllerContract:
    """Override `make` and `populate`, and `act` where somebody else (a kubelet) has to do his part."""

    def make(self) -> Controller:
        """A new controller."""
        raise NotImplementedError

    def others(self) -> list[Controller]:
        """Controllers that it works together with."""
        return []

    async def populate(self, world: World) -> None:
        """Create what the controller shall work on."""
        raise NotImplementedError

    async def act(self, world: World) -> None:
        """Let the world come to rest."""
        await world.settle(60)

    async def settled(self) -> World:
        """A world in which nothing went wrong."""
        world = World()
        await self.populate(world)
        async with world.running(self.make(), *self.others()):
            await self.act(world)
        return world

    def test_has_a_name_and_workers(self) -> None:
        controller = self.make()
        assert controller.name and controller.name == controller.name.lower()
        assert controller.workers >= 1

    async def test_a_key_of_nothing_is_no_work(self) -> None:
        world = World()
        controller = self.make()
        async with world.running(controller):
            for key in (Key("default", "gone"), Key("", "gone")):
                await controller.reconcile(key)
        assert world.took() == []

    async def test_does_something(self) -> None:
        world = World()
        await self.populate(world)
        before = world.client.state(), len(world.client.actions)
        async with world.running(self.make(), *self.others()):
            await self.act(world)
        assert (world.client.state(), len(world.client.actions)) != before

    async def test_shared_objects_are_not_changed(self) -> None:
        world = await self.settled()
        assert world.client.mutated() == []

    async def test_at_rest_nothing_is_written(self) -> None:
        world = await self.settled()
        world.took()
        async with world.running(self.make(), *self.others()):
            await world.settle(1800)
        assert world.took() == []

    @pytest.mark.parametrize("step", range(STEPS))
    async def test_killed_after_any_write_it_comes_to_the_same_end(self, step: int) -> None:
        wanted = (await self.settled()).client.state()
        world = World()
        await self.populate(world)
        left = [step]

        def kill(verb: str, kind: type[Any], namespace: str, name: str) -> None:
            left[0] -= kind.__name__ != "Event"
            if left[0] < 0:
                raise _Killed

        world.client.interrupt = kill
        try:
            async with world.running(self.make(), *self.others()):
                await world.settle(60)
        except* _Killed:
            pass
        world.client.interrupt = None
        async with world.running(self.make(), *self.others()):
            # Whoever waits for something that the crash lost gives up after five minutes.
            await world.settle(320)
            await self.act(world)
        assert world.client.state() == wanted

    @pytest.mark.parametrize("reason", ["Conflict", "ServiceUnavailable"])
    async def test_every_other_write_refused_it_comes_to_the_same_end(self, reason: str) -> None:
        wanted = (await self.settled()).client.state()
        world = World()
        await self.populate(world)
        count = [0]

        def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
            count[0] += kind.__name__ != "Event"
            if count[0] % 2 and kind.__name__ != "Event":
                raise StatusError(409 if reason == "Conflict" else 503, reason, "not now")

        async with world.running(self.make(), *self.others()):
            world.client.intercept = refuse
            await world.settle(60)
            world.client.intercept = None
            await self.act(world)
            # What was refused may wait for its back-off.
            await world.settle(1000)
            await self.act(world)
        assert world.client.state() == wanted
