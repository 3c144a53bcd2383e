"""The engine: keys to reconciles, errors to back-off, one controller's trouble to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from kybern.api.apps import ReplicaSet
from kybern.api.core import ConfigMap, Pod
from kybern.api.errors import StatusError
from kybern.clock import settle
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    return World()


class Recording(Controller):
    """Reconciles ConfigMaps by noting down their keys and doing what the test says."""

    def __init__(self, name: str = "recording", workers: int = 4) -> None:
        self.name = name
        self.workers = workers
        self.seen: list[str] = []
        self.answer: Callable[[Key], Result | None] = lambda key: None

    def setup(self, context: Context) -> None:
        self.context = context
        context.watch(ConfigMap)

    async def reconcile(self, key: Key) -> Result | None:
        self.seen.append(key.name)
        return self.answer(key)


async def add(world: World, name: str = "a") -> None:
    await world.apply(ConfigMap, {"metadata": {"name": name}})
    await settle()


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


async def test_each_change_is_reconciled(world: World) -> None:
    controller = Recording()
    async with world.running(controller):
        await add(world)
        await world.client.patch(ConfigMap, "a", "default", {"metadata": {"labels": {"x": "y"}}})
        await settle()
        await world.client.delete(ConfigMap, "a", "default")
        await settle()
        assert controller.seen == ["a", "a", "a"]


async def test_nothing_is_reconciled_before_the_caches_are_full(world: World) -> None:
    class Looking(Recording):
        async def reconcile(self, key: Key) -> None:
            self.seen.append(str(len(self.context.informer(ConfigMap).list())))

    for name in "abc":
        await world.apply(ConfigMap, {"metadata": {"name": name}})
    controller = Looking()
    async with world.running(controller):
        assert controller.seen == ["3", "3", "3"]


async def test_an_exception_is_logged_with_its_key_and_tried_again_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    controller = Recording()

    def fail(key: Key) -> None:
        raise ValueError("boom")

    controller.answer = fail
    async with world.running(controller) as engine:
        await add(world)
        assert "recording: default/a failed" in caplog.text and "boom" in caplog.text
        await world.settle(0.005 + 0.01 + 0.02)
        assert len(controller.seen) == 4
        controller.answer = lambda key: None
        await world.settle(1)
        assert engine.controllers["recording"].panics == 4
        assert engine.idle


async def test_trouble_stays_with_its_key_and_its_controller(world: World) -> None:
    bad, good = Recording("bad"), Recording("good")

    def fail(key: Key) -> None:
        if key.name == "a":
            raise ValueError("boom")

    bad.answer = fail
    async with world.running(bad, good):
        await add(world, "a")
        await add(world, "b")
        assert "b" in bad.seen
        assert good.seen == ["a", "b"]


async def test_a_conflict_is_tried_again_at_once_but_not_for_ever(world: World) -> None:
    controller = Recording()

    def lose(key: Key) -> None:
        raise StatusError.conflict("configmaps", "", key.name)

    controller.answer = lose
    async with world.running(controller) as engine:
        await add(world)
        assert len(controller.seen) == 4
        await world.settle(1)
        assert len(controller.seen) < 20
        assert engine.controllers["recording"].errors == 0
        assert engine.controllers["recording"].conflicts == len(controller.seen)


async def test_a_reconcile_may_ask_to_be_called_again(world: World) -> None:
    controller = Recording()
    controller.answer = lambda key: Result(requeue_after=60)
    async with world.running(controller):
        await add(world)
        await world.settle(179)
        assert len(controller.seen) == 3


async def test_one_key_is_never_reconciled_twice_at_the_same_time(world: World) -> None:
    busy: set[Key] = set()
    most = [0]

    class Slow(Recording):
        async def reconcile(self, key: Key) -> None:
            assert key not in busy
            busy.add(key)
            most[0] = max(most[0], len(busy))
            self.context.enqueue(key)
            await self.context.clock.sleep(1)
            busy.discard(key)
            self.seen.append(key.name)

    controller = Slow(workers=2)
    async with world.running(controller) as engine:
        for name in "abc":
            await add(world, name)
        await world.settle(30)
        assert most == [2]
        assert engine.controllers["recording"].panics == 0
        assert len(controller.seen) > 40


async def test_an_owners_key_for_what_it_controls(world: World) -> None:
    class Owning(Recording):
        def setup(self, context: Context) -> None:
            context.watch_owned(Pod, ReplicaSet)

    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
    others: list[dict[str, Any]] = [
        owner | {"controller": False, "name": "no-controller"},
        owner | {"apiVersion": "example.com/v1", "name": "other-group"},
        owner | {"kind": "Job", "name": "other-kind"},
    ]
    controller = Owning()
    async with world.running(controller):
        for number, reference in enumerate([owner, *others]):
            await world.apply(Pod, pod(f"p{number}", ownerReferences=[reference]))
        await settle()
        assert controller.seen == ["rs"]


async def test_two_controllers_of_one_name_are_refused(world: World) -> None:
    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012
        async with anyio.create_task_group():
            async with world.running(Recording("x"), Recording("x")):
                raise AssertionError("not reached")
    assert "two controllers are named 'x'" in str(raised.value.exceptions[0])


async def test_stopping_finishes_what_is_under_way_and_begins_nothing(world: World) -> None:
    finished: list[str] = []

    class Slow(Recording):
        async def reconcile(self, key: Key) -> None:
            await self.context.clock.sleep(5)
            finished.append(key.name)

    async with world.running(Slow(workers=1)) as engine:
        await add(world, "a")
        await add(world, "b")
        engine.stop()
        await world.settle(20)
        assert finished == ["a"]


async def test_a_background_task_that_fails_is_started_again(world: World) -> None:
    class Background(Recording):
        starts = 0

        async def run(self) -> None:
            self.starts += 1
            if self.starts < 3:
                raise ValueError("boom")

    controller = Background()
    async with world.running(controller):
        await world.settle(11)
        assert controller.starts == 3
        await add(world)
        assert controller.seen == ["a"]


async def test_metrics_are_told_in_the_text_format(world: World) -> None:
    async with world.running(Recording()) as engine:
        await add(world)
        lines = list(engine.metrics())
        assert 'controller_reconcile_total{controller="recording"} 1' in lines
        assert 'workqueue_depth{name="recording"} 0' in lines
        assert "# TYPE controller_reconcile_errors_total counter" in lines


async def test_a_thousand_events_are_cheap(world: World) -> None:
    """No timing: that each key is reconciled once however many events came for it before a worker was free."""
    controller = Recording()
    async with world.running(controller):
        await world.apply(ConfigMap, {"metadata": {"name": "a"}})
        for number in range(1000):
            await world.client.patch(ConfigMap, "a", "default", {"metadata": {"labels": {"n": str(number)}}})
        await asyncio.sleep(0)
        await settle()
        assert len(controller.seen) < 10


async def test_a_controller_hears_what_is_there_already_when_it_is_set_up_and_not_before(world: World) -> None:
    class Two(Recording):
        """Its first watch's keys come from what its second one knows."""

        def setup(self, context: Context) -> None:
            context.watch(ConfigMap, lambda _: [Key("", obj.metadata.name) for obj in self.pods.list()])
            self.pods: Any = context.informer(Pod)

    await add(world)
    await world.apply(Pod, pod("p"))
    first, second = Two("first"), Two("second")
    async with world.running(first) as engine:
        assert engine.idle
        engine.add(second)
        assert not engine.idle, "it has the pod's key"
