"""A world in which things go wrong by chance: caches lag behind, answers are lost, controllers die."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

from kybern.client.interface import Event
from kybern.testing.client import WorldClient
from kybern.testing.world import World

__all__ = ["ChaoticWorld", "Killed", "live_until_killed"]


class Killed(BaseException):
    """The process is gone: nobody may catch this."""


async def live_until_killed(
    world: World, *controllers: Any, counts: Callable[[str, str], bool], after: int, seconds: float
) -> bool:
    """Let the controllers run for a while. After so many writes that count (by verb and kind), one more happens, and
    they die before they hear of it. Whether it came to that."""
    left = [after]

    def kill(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if counts(verb, kind.__name__):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    world.client.interrupt = kill
    try:
        async with world.running(*controllers):
            await world.settle(seconds)
    except* Killed:
        pass
    finally:
        world.client.interrupt = None
    return left[0] < 0


class LaggingClient(WorldClient):
    """Watch events come late, each kind by its own delays."""

    def __init__(self, clock: Any, random: Random) -> None:
        super().__init__(clock)
        self.random = random

    async def watch(self, kind: type[Any], namespace: str = "", **options: Any) -> AsyncIterator[Event[Any]]:
        async for event in super().watch(kind, namespace, **options):
            if self.random.random() < 0.3:
                await self.clock.sleep(self.random.choice((0.001, 0.05, 3.0)))
            yield event


class ChaoticWorld(World):
    """`chance` of dying at each write."""

    def __init__(self, random: Random, chance: float = 0.03) -> None:
        super().__init__()
        self.random = random
        self.client = LaggingClient(self.clock, random)
        self.chance = chance
        self.deaths = 0

    async def live(self, controllers: Callable[[], tuple[Any, ...]], seconds: float, lives: int = 1) -> None:
        """Let the controllers run for a while; start them again when they die, `lives` times."""
        for _ in range(lives):
            self.client.intercept = self.client.interrupt = self._die_perhaps
            try:
                async with self.running(*controllers()):
                    await self.settle(seconds)
            except* Killed:
                self.deaths += 1
            finally:
                self.client.intercept = self.client.interrupt = None

    def _die_perhaps(self, verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind.__name__ != "Event" and self.random.random() < self.chance:
            raise Killed
