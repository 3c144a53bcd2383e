"""TTL after finished: a Job goes when its time is over, not before, and not if that was changed."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.batch import Job
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_workloads.ttl_after_finished import TTLAfterFinishedController
from tests.controllers.jobs import end_job, job

pytestmark = pytest.mark.anyio


async def finish(world: World, type: str = "Complete") -> None:
    await end_job(world, world.all(Job)[0], type)
    await world.settle()


def left(world: World) -> list[str]:
    return [job.metadata.name for job in world.all(Job) if not job.metadata.deletionTimestamp]


@pytest.mark.parametrize("type", ["Complete", "Failed"])
async def test_a_finished_job_goes_when_its_time_is_over(world: World, type: str) -> None:
    await world.apply(Job, job(ttlSecondsAfterFinished=60))
    async with world.running(TTLAfterFinishedController()):
        await world.settle(1000)
        await finish(world, type)
        await world.settle(59)
        assert left(world) == ["work"]
        world.took()
        await world.settle(1)
        assert world.took() == ["delete Job default/work Foreground"]


async def test_zero_means_at_once(world: World) -> None:
    await world.apply(Job, job(ttlSecondsAfterFinished=0))
    async with world.running(TTLAfterFinishedController()):
        await finish(world)
        assert left(world) == []


async def test_without_a_time_it_stays(world: World) -> None:
    await world.apply(Job, job())
    async with world.running(TTLAfterFinishedController()) as engine:
        await finish(world)
        await world.settle(10**6)
        assert left(world) == ["work"]
        assert engine.controllers["ttl-after-finished"].reconciled == 0


async def test_the_time_may_be_changed_meanwhile(world: World) -> None:
    await world.apply(Job, job(ttlSecondsAfterFinished=60))
    async with world.running(TTLAfterFinishedController()):
        await finish(world)
        await world.client.patch(Job, "work", "default", {"spec": {"ttlSecondsAfterFinished": 600}})
        await world.settle(599)
        assert left(world) == ["work"]
        await world.client.patch(Job, "work", "default", {"spec": {"ttlSecondsAfterFinished": 30}})
        await world.settle()
        assert left(world) == []


async def test_a_change_that_the_cache_does_not_show_is_heeded(world: World) -> None:
    await world.apply(Job, job(ttlSecondsAfterFinished=60))
    async with world.running(TTLAfterFinishedController()) as engine:
        await finish(world)
        stale = world.all(Job)[0]
        await world.client.patch(Job, "work", "default", {"spec": {"ttlSecondsAfterFinished": 600}})
        await world.settle(59)
        engine.informers.informer(Job).put(stale)
        await world.settle(5)
        assert left(world) == ["work"]


async def test_a_restart_forgets_nothing_and_a_refusal_is_no_end(world: World) -> None:
    await world.apply(Job, job(ttlSecondsAfterFinished=60))
    await finish(world)
    await world.settle(100)

    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "delete":
            raise StatusError.forbidden("jobs", "batch", name, "not now")

    world.client.intercept = refuse
    async with world.running(TTLAfterFinishedController()):
        await world.settle(1)
        assert left(world) == ["work"]
        world.client.intercept = None
        await world.settle(30)
        assert left(world) == []


async def test_one_that_is_being_deleted_is_left_alone(world: World) -> None:
    data = job(ttlSecondsAfterFinished=0)
    data["metadata"]["finalizers"] = ["example.com/hold"]
    await world.apply(Job, data)
    await world.client.delete(Job, "work", "default")
    changed = types.copy(world.all(Job)[0])
    assert changed.metadata.deletionTimestamp
    async with world.running(TTLAfterFinishedController()):
        world.took()
        await finish(world)
        await world.settle(10)
        assert [a for a in world.took() if a.startswith("delete")] == []
