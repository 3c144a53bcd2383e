"""The contract suite is worth something: controllers with typical faults fail it."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core import ConfigMap
from kybern.api.meta import ObjectMeta
from kybern.reconcile.interface import Context, Controller, Key
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World

pytestmark = pytest.mark.anyio


class Copies(Controller):
    """Keeps two copies of every original, by looking at the cache alone."""

    name = "copies"

    def setup(self, context: Context) -> None:
        self.client = context.client
        self.maps = context.watch(ConfigMap, on=lambda old, new: new is not None)

    async def reconcile(self, key: Key) -> None:
        original: Any = self.maps.get(key.name, key.namespace)
        if original is None or key.name.startswith("copy"):
            return
        for number in range(2):
            if self.maps.get(f"copy-{number}", key.namespace) is None:
                await self.copy(original, number)

    async def copy(self, original: Any, number: int) -> None:
        await self.client.create(ConfigMap(metadata=ObjectMeta(name=f"copy-{number}", namespace="default")))


class Mutating(Copies):
    async def copy(self, original: Any, number: int) -> None:
        original.metadata.labels = {"copied": "yes"}
        await super().copy(original, number)


class Unnamed(Copies):
    """Its copies have new names each time: after a crash there are more."""

    async def reconcile(self, key: Key) -> None:
        original: Any = self.maps.get(key.name, key.namespace)
        if original is None or original.metadata.generateName:
            return
        if not (original.metadata.labels or {}).get("done"):
            for _ in range(2):
                metadata = ObjectMeta(generateName="copy-", namespace="default")
                await self.client.create(ConfigMap(metadata=metadata))
            patch = {"metadata": {"labels": {"done": "yes"}}}
            await self.client.patch(ConfigMap, key.name, key.namespace, patch)


class Restless(Copies):
    async def reconcile(self, key: Key) -> None:
        await self.client.patch(ConfigMap, key.name, key.namespace, {"metadata": {"labels": {"seen": None}}})


class Sound(ControllerContract):
    controller: type[Controller] = Copies

    def make(self) -> Controller:
        return self.controller()

    async def populate(self, world: World) -> None:
        await world.apply(ConfigMap, {"metadata": {"name": "original"}})


def suite(kind: type[Controller]) -> ControllerContract:
    made = Sound()
    made.controller = kind  # type: ignore[misc]
    return made


async def test_a_sound_controller_passes() -> None:
    checks = suite(Copies)
    await checks.test_shared_objects_are_not_changed()
    await checks.test_at_rest_nothing_is_written()
    await checks.test_killed_at_any_write_it_comes_to_the_same_end("after")
    await checks.test_every_other_write_refused_it_comes_to_the_same_end("Conflict")


async def test_a_change_to_a_shared_object_is_found() -> None:
    with pytest.raises(AssertionError, match="ConfigMap default/original"):
        await suite(Mutating).test_shared_objects_are_not_changed()


async def test_a_crash_that_leaves_too_much_is_found() -> None:
    with pytest.raises(AssertionError):
        await suite(Unnamed).test_killed_at_any_write_it_comes_to_the_same_end("after")


async def test_one_that_never_rests_is_found() -> None:
    with pytest.raises(AssertionError):
        await suite(Restless).test_at_rest_nothing_is_written()
