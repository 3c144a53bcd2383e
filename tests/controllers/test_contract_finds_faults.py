"""The contract suite is worth something: controllers with typical faults fail it."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from kybern.api.core import ConfigMap
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.reconcile.interface import Context, Controller, Key, Result
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


class Hasty(Copies):
    """Says that it is done before it is."""

    async def reconcile(self, key: Key) -> None:
        original: Any = self.maps.get(key.name, key.namespace)
        if key.name.startswith("copy") or (original.metadata.labels or {}).get("done"):
            return
        await self.client.patch(ConfigMap, key.name, key.namespace, {"metadata": {"labels": {"done": "yes"}}})
        await super().reconcile(key)


class Counting(Copies):
    """Numbers what it makes, from a memory that a crash ends: as many copies, but not the same."""

    made = 0

    async def copy(self, original: Any, number: int) -> None:
        metadata = ObjectMeta(name=f"copy-{number}", namespace="default")
        await self.client.create(ConfigMap(metadata=metadata, data={"number": str(self.made)}))
        self.made += 1


class GivingUp(Copies):
    """Takes every refusal for an answer."""

    async def copy(self, original: Any, number: int) -> None:
        with suppress(StatusError):
            await super().copy(original, number)


class Trusting(Copies):
    """Believes that its cache shows what it has just made."""

    def setup(self, context: Context) -> None:
        self.client = context.client
        self.maps = context.watch(ConfigMap, lambda _: [Key("default", "original")])

    async def reconcile(self, key: Key) -> Result | None:
        copies = [m for m in self.maps.list() if m.metadata.generateName]
        if len(copies) >= 2 or self.maps.get("original", "default") is None:
            return None
        await self.client.create(ConfigMap(metadata=ObjectMeta(generateName="copy-", namespace="default")))
        return Result(requeue_after=0.1)


class Stubborn(Copies):
    """Will have its own name on the original, whoever else wrote there."""

    names = count()

    def __init__(self) -> None:
        self.mark = f"copier-{next(self.names) % 2}"

    def setup(self, context: Context) -> None:
        self.client = context.client
        self.maps = context.watch(ConfigMap, on=lambda old, new: old is None)

    async def reconcile(self, key: Key) -> Result | None:
        original: Any = self.maps.get(key.name, key.namespace)
        if (original.metadata.labels or {}).get("by") != self.mark:
            await self.client.patch(ConfigMap, key.name, key.namespace, {"metadata": {"labels": {"by": self.mark}}})
        return Result(requeue_after=60)


class Sound(ControllerContract):
    controller: type[Controller] = Copies

    def make(self) -> Controller:
        return self.controller()

    async def populate(self, world: World) -> None:
        await world.apply(ConfigMap, {"metadata": {"name": "original"}})


def suite(kind: type[Controller]) -> Sound:
    return type(kind.__name__, (Sound,), {"controller": kind})()  # type: ignore[no-any-return]  # a class of its own


async def test_a_sound_controller_passes(caplog: pytest.LogCaptureFixture) -> None:
    checks = suite(Copies)
    await checks.test_a_key_of_nothing_is_no_work()
    await checks.test_does_something()
    await checks.test_shared_objects_are_not_changed()
    await checks.test_at_rest_nothing_is_written()
    await checks.test_killed_at_any_write_it_comes_to_the_same_end("before")
    await checks.test_killed_at_any_write_it_comes_to_the_same_end("after")
    await checks.test_every_other_write_refused_it_comes_to_the_same_end("Conflict")
    await checks.test_every_other_answer_lost_it_comes_to_the_same_end()
    await checks.test_with_caches_that_lag_it_comes_to_the_same_end()
    await checks.test_two_at_once_come_to_the_same_end_and_rest()
    await checks.test_set_up_over_caches_that_are_full_already(caplog)


async def test_a_change_to_a_shared_object_is_found() -> None:
    with pytest.raises(AssertionError, match="ConfigMap default/original"):
        await suite(Mutating).test_shared_objects_are_not_changed()


@pytest.mark.parametrize("faulty", [Unnamed, Hasty, Counting])
async def test_what_a_crash_after_a_write_spoils_is_found(faulty: type[Controller]) -> None:
    with pytest.raises(AssertionError, match=r"Killed after write \d .* it comes to another end"):
        await suite(faulty).test_killed_at_any_write_it_comes_to_the_same_end("after")


async def test_what_a_crash_before_a_write_spoils_is_found() -> None:
    with pytest.raises(AssertionError, match=r"Killed before write 2 .*create ConfigMap default/copy-0"):
        await suite(Hasty).test_killed_at_any_write_it_comes_to_the_same_end("before")


@pytest.mark.parametrize("reason", ["Conflict", "ServiceUnavailable"])
async def test_one_that_does_not_try_again_is_found(reason: str) -> None:
    with pytest.raises(AssertionError, match="copy-0"):
        await suite(GivingUp).test_every_other_write_refused_it_comes_to_the_same_end(reason)


async def test_one_that_does_again_what_was_done_without_its_knowledge_is_found() -> None:
    with pytest.raises(AssertionError, match="With every other answer lost"):
        await suite(Unnamed).test_every_other_answer_lost_it_comes_to_the_same_end()


async def test_one_that_trusts_its_cache_is_found() -> None:
    await suite(Trusting).test_every_other_write_refused_it_comes_to_the_same_end("Conflict")
    with pytest.raises(AssertionError, match="With caches that lag"):
        await suite(Trusting).test_with_caches_that_lag_it_comes_to_the_same_end()


async def test_two_that_undo_each_others_work_are_found() -> None:
    with pytest.raises(AssertionError, match="they go on correcting each other"):
        await suite(Stubborn).test_two_at_once_come_to_the_same_end_and_rest()


async def test_one_that_never_rests_is_found() -> None:
    with pytest.raises(AssertionError):
        await suite(Restless).test_at_rest_nothing_is_written()


async def test_one_that_does_nothing_is_found() -> None:
    class Idle(Copies):
        async def reconcile(self, key: Key) -> None:
            pass

    with pytest.raises(AssertionError):
        await suite(Idle).test_does_something()
