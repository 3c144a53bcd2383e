"""Job: these objects and events, these actions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from kybern.api.batch import Job
from kybern.api.core import ContainerStatus, Pod
from kybern.api.errors import StatusError
from kybern.testing.world import World
from tests.controllers.jobs import (
    active,
    conditions,
    controllers,
    end,
    end_all,
    indexed,
    indexes,
    job,
    patch_spec,
    place,
    the_job,
    tracked,
)

pytestmark = pytest.mark.anyio


async def test_runs_pods_until_enough_have_succeeded(world: World) -> None:
    await world.apply(Job, job(3, 2))
    async with world.running(*controllers()):
        await world.settle(1)
        status = the_job(world).status
        assert (status.active, status.startTime) == (2, "2026-01-01T00:00:00Z")
        pod = world.all(Pod)[0]
        assert pod.metadata.finalizers == ["batch.kubernetes.io/job-tracking"]
        assert pod.metadata.ownerReferences[0].kind == "Job" and pod.metadata.ownerReferences[0].controller
        await end_all(world)
        assert (the_job(world).status.active, the_job(world).status.succeeded) == (1, 2)
        await end_all(world)
        status = the_job(world).status
        assert (status.active, status.succeeded, status.completionTime) == (None, 3, "2026-01-01T00:00:02Z")
        assert conditions(world) == ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]
        assert tracked(world) == []
        assert world.events()[-1] == "Normal Completed Job completed"


async def test_writes_what_it_counts_before_it_lets_go(world: World) -> None:
    await world.apply(Job, job(1))
    async with world.running(*controllers()):
        await world.settle()
        world.took()
        await end(world, world.all(Pod)[0])
        await world.settle()
        name = world.all(Pod)[0].metadata.name
        assert world.took() == [
            f"update-status Pod default/{name}",
            "update-status Job default/work",
            f"patch Pod default/{name}",
            "update-status Job default/work",
        ]


async def test_without_completions_the_first_success_ends_the_work(world: World) -> None:
    await world.apply(Job, job(None, 3))
    async with world.running(*controllers()):
        await world.settle(1)
        pods = world.all(Pod)
        await end(world, pods[0])
        await world.settle(1)
        assert len(active(world)) == 2 and not conditions(world)
        await end_all(world)
        assert conditions(world)[-1].startswith("Complete=True")
        assert len(world.all(Pod)) == 3


async def test_no_completions_at_all_is_done_at_once(world: World) -> None:
    await world.apply(Job, job(0))
    async with world.running(*controllers()):
        await world.settle(1)
        assert conditions(world)[-1].startswith("Complete=True")
        assert world.all(Pod) == []


async def test_failures_are_retried_ever_later_and_then_no_more(world: World) -> None:
    await world.apply(Job, job(1, backoffLimit=3))
    async with world.running(*controllers()):
        made = []
        for _ in range(4):
            await world.clock.advance_until(lambda: bool(active(world)))
            made.append(world.clock.monotonic())
            await end_all(world, 1)
        gaps = [round(b - a) for a, b in pairwise(made)]
        assert gaps == [10, 20, 40]
        await world.settle(3600)
        assert conditions(world) == ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"]
        assert the_job(world).status.failed == 4 and len(world.all(Pod)) == 4
        text = "Warning BackoffLimitExceeded Job has reached the specified backoff limit"
        assert world.events()[-1] == text


async def test_the_back_off_ends_at_ten_minutes_and_survives_a_restart(world: World) -> None:
    await world.apply(Job, job(1, backoffLimit=20))
    made = []
    for _ in range(9):
        async with world.running(*controllers()):
            await world.clock.advance_until(lambda: bool(active(world)))
            made.append(world.clock.monotonic())
            await end_all(world, 1)
    gaps = [round(b - a) for a, b in pairwise(made)]
    assert gaps == [10, 20, 40, 80, 160, 320, 600, 600]


async def test_a_success_forgives_failures(world: World) -> None:
    await world.apply(Job, job(3, 1))
    async with world.running(*controllers()):
        await world.settle()
        await end_all(world, 1)
        await world.settle(10)
        await end_all(world)
        assert len(active(world)) == 1
        await end_all(world, 1)
        failed_at = world.clock.monotonic() - 1
        await world.clock.advance_until(lambda: bool(active(world)))
        assert round(world.clock.monotonic() - failed_at) == 10


async def test_restarts_in_place_count_as_failures(world: World) -> None:
    data = job(1, backoffLimit=2)
    template = data["spec"]["template"]
    data["spec"]["template"] = {**template, "spec": {**template["spec"], "restartPolicy": "OnFailure"}}
    await world.apply(Job, data)

    def restarted(times: int) -> Any:
        def change(pod: Any) -> None:
            pod.status.phase = "Running"
            pod.status.containerStatuses = [ContainerStatus(name="c", restartCount=times)]

        return change

    async with world.running(*controllers()):
        await world.settle()
        await world.set_status(world.all(Pod)[0], restarted(1))
        await world.settle(1)
        assert not conditions(world)
        await world.set_status(world.all(Pod)[0], restarted(2))
        await world.settle(1)
        assert conditions(world)[-1] == "Failed=True BackoffLimitExceeded"
        assert world.all(Pod) == []


async def test_the_deadline_ends_it(world: World) -> None:
    await world.apply(Job, job(1, activeDeadlineSeconds=60))
    async with world.running(*controllers()):
        await world.settle(59)
        assert len(active(world)) == 1
        await world.settle(2)
        assert conditions(world) == ["FailureTarget=True DeadlineExceeded", "Failed=True DeadlineExceeded"]
        assert world.all(Pod) == [] and the_job(world).status.failed == 1


async def test_it_is_not_failed_before_its_pods_are_gone(world: World) -> None:
    await world.apply(Job, job(2, 2, activeDeadlineSeconds=60))
    async with world.running(*controllers()):
        await world.settle()
        for pod in world.all(Pod):
            await place(world, pod)
        await world.settle(61)
        status = the_job(world).status
        assert conditions(world) == ["FailureTarget=True DeadlineExceeded"]
        assert (status.active, status.terminating) == (None, 2)
        for pod in world.all(Pod):
            await world.client.remove(Pod, pod.metadata.name, "default")
        await world.settle(1)
        assert conditions(world)[-1] == "Failed=True DeadlineExceeded"
        assert (the_job(world).status.terminating, the_job(world).status.failed) == (0, 2)


async def test_suspended_it_stops_its_pods_and_counts_none_of_them(world: World) -> None:
    await world.apply(Job, job(4, 2, activeDeadlineSeconds=100))
    async with world.running(*controllers()):
        await world.settle(50)
        await patch_spec(world, suspend=True)
        assert world.all(Pod) == []
        status = the_job(world).status
        assert (status.active, status.failed, status.startTime) == (None, None, None)
        assert conditions(world) == ["Suspended=True JobSuspended"]
        await world.settle(1000)
        await patch_spec(world, suspend=False)
        assert conditions(world) == ["Suspended=False JobResumed"]
        assert the_job(world).status.startTime == "2026-01-01T00:17:30Z"
        assert len(active(world)) == 2
        await world.settle(98)
        assert len(active(world)) == 2, "the deadline counts anew"
        events = world.events()
        assert "Normal Suspended Job suspended" in events and "Normal Resumed Job resumed" in events


async def test_made_suspended_it_waits(world: World) -> None:
    await world.apply(Job, job(1, suspend=True))
    async with world.running(*controllers()):
        await world.settle(5)
        assert world.all(Pod) == [] and not the_job(world).status.startTime
        await patch_spec(world, suspend=False)
        assert len(active(world)) == 1 and the_job(world).status.startTime


async def test_fewer_in_parallel_costs_no_failures(world: World) -> None:
    await world.apply(Job, job(10, 4))
    async with world.running(*controllers()):
        await world.settle(1)
        await patch_spec(world, parallelism=1)
        assert len(active(world)) == 1
        await world.settle(5)
        assert the_job(world).status.failed is None
        await patch_spec(world, parallelism=3)
        assert len(active(world)) == 3


async def test_a_pod_that_ended_while_it_was_to_be_stopped_is_counted(world: World) -> None:
    """Its end comes between our last look at it and our taking the finalizer."""
    await world.apply(Job, job(5, 2))

    async def finish_first(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "patch" and kind is Pod and "work" in name and not done:
            done.append(name)
            pod = await world.client.get(Pod, name, "default")
            await world.set_status(pod, lambda p: setattr(p.status, "phase", "Succeeded"))

    done: list[str] = []
    async with world.running(*controllers()):
        await world.settle(1)
        world.client.intercept = finish_first
        await patch_spec(world, parallelism=0)
        assert done
        assert the_job(world).status.succeeded == 1
        assert active(world) == []


async def test_adopts_and_lets_go_by_labels(world: World) -> None:
    await world.apply(Job, job(2, 1, manualSelector=True, selector={"matchLabels": {"job": "work"}}))
    spec = {"containers": [{"name": "c", "image": "busybox"}]}
    await world.apply(Pod, {"metadata": {"name": "mine", "labels": {"job": "work"}}, "spec": spec})
    async with world.running(*controllers()):
        await world.settle(1)
        mine = await world.client.get(Pod, "mine", "default")
        assert mine.metadata.ownerReferences[0].name == "work" and mine.metadata.finalizers
        assert len(world.all(Pod)) == 1
        await world.client.patch(Pod, "mine", "default", {"metadata": {"labels": {"job": "other"}}})
        await world.settle(1)
        mine = await world.client.get(Pod, "mine", "default")
        assert not mine.metadata.ownerReferences and not mine.metadata.finalizers
        assert len(world.all(Pod)) == 2


async def test_pods_of_a_job_that_is_gone_are_let_go(world: World) -> None:
    await world.apply(Job, job(1))
    async with world.running(*controllers()):
        await world.settle(1)
        assert tracked(world)
        await world.client.remove(Job, "work", "default")
        await world.settle(1)
        assert world.all(Pod) and not tracked(world)


async def test_orphaned_pods_are_let_go(world: World) -> None:
    await world.apply(Job, job(1))
    async with world.running(*controllers()):
        await world.settle(1)
        pod = world.all(Pod)[0]
        await world.client.remove(Job, "work", "default")
        await world.client.patch(Pod, pod.metadata.name, "default", {"metadata": {"ownerReferences": None}})
        await world.settle(1)
        assert not tracked(world)


async def test_pods_orphaned_before_their_job_is_gone_are_let_go_with_it(world: World) -> None:
    await world.apply(Job, job(1))
    async with world.running(*controllers()):
        await world.settle(1)
        await world.client.delete(Job, "work", "default", propagation="Orphan")
        await world.settle(1)
        pod = world.all(Pod)[0]
        await world.client.patch(Pod, pod.metadata.name, "default", {"metadata": {"ownerReferences": None}})
        await world.settle(1)
        await world.client.remove(Job, "work", "default")
        await world.settle(1)
        assert not tracked(world)


async def test_anothers_job_is_left_alone(world: World) -> None:
    await world.apply(Job, job(1, managedBy="example.com/queue"))
    await world.apply(Job, job(1, name="ours", managedBy="kubernetes.io/job-controller"))
    async with world.running(*controllers()):
        await world.settle(1)
        assert [p.metadata.ownerReferences[0].name for p in world.all(Pod)] == ["ours"]
        assert not the_job(world).status.startTime


async def test_refused_creation_is_told_and_tried_again(world: World) -> None:
    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "create" and kind is Pod:
            raise StatusError.forbidden("pods", "", name, "exceeded quota: q")

    world.client.intercept = refuse
    await world.apply(Job, job(3, 3))
    async with world.running(*controllers()):
        await world.settle(1)
        assert any("Warning FailedCreate Error creating: pods" in e for e in world.events())
        assert the_job(world).status.active is None
        world.client.intercept = None
        await world.settle(60)
        assert len(active(world)) == 3
        assert the_job(world).status.failed is None


async def test_deleted_pods_count_as_failures_and_are_replaced(world: World) -> None:
    await world.apply(Job, job(1))
    async with world.running(*controllers()):
        await world.settle(1)
        await world.client.delete(Pod, world.all(Pod)[0].metadata.name, "default")
        await world.settle(1)
        assert world.all(Pod) == [] and the_job(world).status.failed == 1
        await world.settle(10)
        assert len(active(world)) == 1


@pytest.mark.parametrize("policy", ["TerminatingOrFailed", "Failed"])
async def test_replacement_waits_for_the_end_if_asked_to(world: World, policy: str) -> None:
    await world.apply(Job, job(2, 1, podReplacementPolicy=policy))
    async with world.running(*controllers()):
        await world.settle(1)
        pod = world.all(Pod)[0]
        await place(world, pod)
        await world.client.delete(Pod, pod.metadata.name, "default")
        await world.settle(15)
        status = the_job(world).status
        if policy == "Failed":
            assert (status.active, status.terminating, status.failed) == (None, 1, None)
            await end(world, pod, 143)
            await world.settle(1)
            assert the_job(world).status.failed == 1
            await world.settle(10)
        assert the_job(world).status.active == 1


async def test_five_hundred_at_a_time(world: World) -> None:
    await world.apply(Job, job(1200, 1200))
    async with world.running(*controllers()):
        await world.settle(10)
        assert len(active(world)) == 1200
        await end_all(world)
        await world.settle(10)
        assert the_job(world).status.succeeded == 1200
        assert conditions(world)[-1].startswith("Complete=True")
        assert len(world.all(Pod)) == 1200


async def test_at_rest_nothing_is_asked(world: World) -> None:
    for i in range(20):
        await world.apply(Job, job(2, 1, name=f"work-{i}"))
    async with world.running(*controllers()) as engine:
        await world.settle(5)
        world.took()
        before = engine.controllers["job"].reconciled
        await world.settle(7200)
        assert world.took() == []
        assert engine.controllers["job"].reconciled == before


async def test_a_writer_at_the_same_time_does_no_harm(world: World) -> None:
    """Somebody changes the Job between each look at it and the write that follows."""
    await world.apply(Job, job(4, 2))
    rounds = [0]

    async def meddle(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "update-status" and kind is Job and rounds[0] < 6:
            rounds[0] += 1
            note = {"metadata": {"annotations": {"round": str(rounds[0])}}}
            await world.client.patch(Job, "work", "default", note)

    world.client.intercept = meddle
    async with world.running(*controllers()):
        for _ in range(4):
            await world.settle(5)
            assert len(active(world)) <= 2
            await end_all(world)
        assert the_job(world).status.succeeded == 4
        assert the_job(world).metadata.annotations == {"round": "6"}
        assert len(world.all(Pod)) == 4


async def test_a_growing_and_shrinking_indexed_job(world: World) -> None:
    await world.apply(Job, indexed(3, 3))
    async with world.running(*controllers()):
        await world.settle(1)
        await end(world, active(world)[0])
        await patch_spec(world, completions=5, parallelism=5)
        assert indexes(active(world)) == [1, 2, 3, 4]
        await patch_spec(world, completions=2, parallelism=2)
        await world.settle(1)
        assert indexes(active(world)) == [1]
        await end_all(world)
        status = the_job(world).status
        assert (status.completedIndexes, status.succeeded, status.failed) == ("0,1", 2, None)
        assert conditions(world)[-1].startswith("Complete=True")
