"""CronJob: these objects and this time, these Jobs."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.batch import CronJob, Job
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_workloads.cronjob import SCHEDULED, CronJobController
from tests.controllers.chaos import ChaoticWorld
from tests.controllers.jobs import end_job

pytestmark = pytest.mark.anyio

POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}


def cronjob(schedule: str = "0 * * * *", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "tick"}, "annotations": {"note": "x"}}, "spec": {"template": POD}}
    return {
        "metadata": {"name": "tick"},
        "spec": {
            "schedule": schedule,
            "jobTemplate": template,
            **spec,
        },
    }


def status(world: World) -> Any:
    return world.all(CronJob)[0].status


def times(world: World) -> list[str]:
    return [job.metadata.annotations[SCHEDULED] for job in world.all(Job)]


async def finish(world: World, job: Any, type: str = "Complete") -> None:
    await end_job(world, job, type)
    await world.settle(0.1)


async def patch_spec(world: World, **spec: Any) -> None:
    await world.client.patch(CronJob, "tick", "default", {"spec": spec})
    await world.settle(0.1)


async def test_makes_a_job_at_its_time(world: World) -> None:
    await world.apply(CronJob, cronjob())
    async with world.running(CronJobController()):
        await world.settle(3599)
        assert world.all(Job) == []
        await world.settle(1)
        job = world.all(Job)[0]
        assert job.metadata.name == f"tick-{(1767225600 + 3600) // 60}"
        assert job.metadata.labels == {"app": "tick"}
        assert job.metadata.annotations == {"note": "x", SCHEDULED: "2026-01-01T01:00:00Z"}
        owner = job.metadata.ownerReferences[0]
        assert (owner.kind, owner.controller, owner.blockOwnerDeletion) == ("CronJob", True, True)
        assert status(world).lastScheduleTime == "2026-01-01T01:00:00Z"
        assert [(a.kind, a.name, a.uid) for a in status(world).active] == [("Job", job.metadata.name, job.metadata.uid)]
        await finish(world, job)
        assert not status(world).active and status(world).lastSuccessfulTime == "2026-01-01T01:00:00Z"
        assert world.events() == [
            f"Normal SuccessfulCreate Created job {job.metadata.name}",
            f"Normal SawCompletedJob Saw completed job: {job.metadata.name}, condition: Complete",
        ]


async def test_a_year_of_working_days_in_its_zone(world: World) -> None:
    spec = {"timeZone": "Europe/Berlin", "successfulJobsHistoryLimit": 0}
    await world.apply(CronJob, cronjob("30 8 * * 1-5", **spec))
    seen = []
    async with world.running(CronJobController()):
        while world.clock.monotonic() < 365 * 86400:
            await world.clock.advance_until(lambda: bool(world.all(Job)), 10 * 86400)
            job = world.all(Job)[0]
            seen.append(job.metadata.annotations[SCHEDULED])
            await finish(world, job)
    assert len(seen) == 262
    assert {text[11:] for text in seen} == {"08:30:00+01:00", "08:30:00+02:00"}


async def test_allow_lets_runs_overlap(world: World) -> None:
    await world.apply(CronJob, cronjob())
    async with world.running(CronJobController()):
        await world.settle(3 * 3600)
        assert len(status(world).active) == 3


async def test_forbid_waits_for_the_one_before(world: World) -> None:
    await world.apply(CronJob, cronjob(concurrencyPolicy="Forbid"))
    async with world.running(CronJobController()):
        await world.settle(2 * 3600 + 600)
        assert times(world) == ["2026-01-01T01:00:00Z"]
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        assert any(f"Normal JobAlreadyActive {text}" in e for e in world.events())
        await finish(world, world.all(Job)[0])
        assert times(world)[1:] == ["2026-01-01T02:00:00Z"], "it is late, but still the last that is due"


async def test_replace_puts_the_new_one_in_its_place(world: World) -> None:
    await world.apply(CronJob, cronjob(concurrencyPolicy="Replace"))
    async with world.running(CronJobController()):
        await world.settle(2 * 3600)
        assert times(world) == ["2026-01-01T02:00:00Z"]
        assert [a.uid for a in status(world).active] == [world.all(Job)[0].metadata.uid]
        assert any(e.startswith("Normal SuccessfulDelete Deleted job tick-") for e in world.events())
        assert not any("MissingJob" in e or "UnexpectedJob" in e for e in world.events())


async def test_suspended_it_does_nothing_and_resumed_the_last_run_that_was_due(world: World) -> None:
    await world.apply(CronJob, cronjob(suspend=True))
    async with world.running(CronJobController()):
        await world.settle(5 * 3600 + 60)
        assert world.all(Job) == []
        await patch_spec(world, suspend=False)
        assert times(world) == ["2026-01-01T05:00:00Z"]


async def test_a_run_that_is_too_late_is_told_once(world: World) -> None:
    await world.apply(CronJob, cronjob(startingDeadlineSeconds=60))
    await world.settle(5 * 3600 + 120)
    async with world.running(CronJobController()):
        await world.settle(10)
        await patch_spec(world, failedJobsHistoryLimit=2)
        assert world.all(Job) == []
        text = "Missed scheduled time to start a job: Thu, 01 Jan 2026 05:00:00 +0000"
        assert world.events() == [f"Warning MissSchedule {text}"]
        await world.settle(3600)
        assert times(world) == ["2026-01-01T06:00:00Z"]


async def test_many_missed_runs_are_told_and_one_is_started(world: World) -> None:
    await world.apply(CronJob, cronjob("*/5 * * * *"))
    await world.settle(86400)
    async with world.running(CronJobController()):
        await world.settle(1)
        assert times(world) == ["2026-01-02T00:00:00Z"]
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        assert world.events()[0] == f"Warning TooManyMissedTimes {text}"


async def test_old_jobs_are_cleared_away(world: World) -> None:
    await world.apply(CronJob, cronjob(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1))
    async with world.running(CronJobController()):
        for hour in range(6):
            await world.settle(3600)
            await finish(world, world.all(Job)[-1], "Failed" if hour % 2 else "Complete")
        ends = [(job.metadata.annotations[SCHEDULED][11:13], job.status.conditions[-1].type) for job in world.all(Job)]
        assert ends == [("03", "Complete"), ("05", "Complete"), ("06", "Failed")]


async def test_a_new_schedule_means_the_time_to_come(world: World) -> None:
    await world.apply(CronJob, cronjob("0 * * * *"))
    async with world.running(CronJobController()):
        await world.settle(1800)
        await patch_spec(world, schedule="15 * * * *")
        assert world.all(Job) == []
        await world.settle(3600)
        assert times(world) == ["2026-01-01T01:15:00Z"]
        await patch_spec(world, schedule="20 * * * *", timeZone="Asia/Kolkata")
        await world.settle(1800)
        assert times(world)[1:] == ["2026-01-01T07:20:00+05:30"]


@pytest.mark.parametrize(
    ("spec", "event"),
    [
        ({"schedule": "nonsense"}, 'UnparseableSchedule unparseable schedule: "nonsense" : expected exactly 5 fields'),
        ({"timeZone": "Mars/Base"}, 'UnknownTimeZone invalid timeZone: "Mars/Base": unknown time zone Mars/Base'),
        ({"schedule": "0 0 31 2 *"}, "InvalidSchedule invalid schedule: 0 0 31 2 * : time difference between two"),
        ({"schedule": "TZ=UTC @daily"}, 'UnsupportedSchedule CRON_TZ or TZ used in schedule "TZ=UTC @daily"'),
    ],
)
async def test_what_is_wrong_is_told(world: World, spec: dict[str, Any], event: str) -> None:
    stored = cronjob(**spec)
    stored["metadata"] |= {"namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    await world.client.put(types.from_plain(CronJob, stored))
    async with world.running(CronJobController()):
        await world.settle(1)
        assert world.events()[0].startswith(f"Warning {event}")


async def test_a_job_made_by_hand_is_told_of_and_not_counted(world: World) -> None:
    await world.apply(CronJob, cronjob())
    owner = world.all(CronJob)[0].metadata
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": owner.uid, "controller": True}
    metadata = {
        "name": "by-hand",
        "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
        "ownerReferences": [reference],
    }
    async with world.running(CronJobController()):
        await world.apply(Job, {"metadata": metadata, "spec": {"template": POD}})
        await world.settle(1)
        assert not status(world).active and not status(world).lastScheduleTime
        text = "Saw a job that the controller did not create or forgot: by-hand"
        assert f"Warning UnexpectedJob {text}" in world.events()


async def test_a_job_that_vanishes_is_no_longer_active(world: World) -> None:
    await world.apply(CronJob, cronjob())
    async with world.running(CronJobController()):
        await world.settle(3600)
        name = world.all(Job)[0].metadata.name
        await world.client.delete(Job, name, "default", propagation="Background")
        await world.settle(1)
        assert not status(world).active
        assert f"Normal MissingJob Active job went missing: {name}" in world.events()
        await world.settle(60)
        assert world.all(Job) == [], "its time has been"


async def test_refused_creation_is_told_and_tried_again(world: World) -> None:
    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "create" and kind is Job:
            raise StatusError.forbidden("jobs", "batch", name, "exceeded quota: q")

    await world.apply(CronJob, cronjob())
    world.client.intercept = refuse
    async with world.running(CronJobController()):
        await world.settle(3601)
        assert any(e.startswith("Warning FailedCreate Error creating job: jobs.batch") for e in world.events())
        world.client.intercept = None
        await world.settle(60)
        assert times(world) == ["2026-01-01T01:00:00Z"]


async def test_anothers_job_of_that_name_is_left_alone(world: World) -> None:
    await world.apply(CronJob, cronjob())
    name = f"tick-{(1767225600 + 3600) // 60}"
    await world.apply(Job, {"metadata": {"name": name}, "spec": {"template": POD}})
    async with world.running(CronJobController()):
        await world.settle(3700)
        assert not status(world).active
        await world.settle(3600)
        assert len(world.all(Job)) == 2 and len(status(world).active) == 1


async def test_at_rest_it_only_waits_for_its_time(world: World) -> None:
    for i in range(20):
        data = cronjob("@yearly")
        data["metadata"]["name"] = f"tick-{i}"
        await world.apply(CronJob, data)
    async with world.running(CronJobController()) as engine:
        await world.settle(5)
        world.took()
        before = engine.controllers["cronjob"].reconciled
        await world.settle(30 * 86400)
        assert world.took() == [] and engine.controllers["cronjob"].reconciled == before


class CronWorld(ChaoticWorld):
    """Remembers every run that was ever begun."""

    def __init__(self, random: Random) -> None:
        super().__init__(random, chance=0.05)
        self.begun: dict[str, str] = {}

    def look(self) -> None:
        for job in self.all(Job):
            time = job.metadata.annotations[SCHEDULED]
            assert self.begun.setdefault(time, job.metadata.uid) == job.metadata.uid, f"{time} was started twice"


SCHEDULES = ["* * * * *", "*/7 * * * *", "30 1 * * *", "0 */3 * * *", "@hourly", "@every 25m", "15,45 0-6 * * *"]
ZONES = [None, "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]


async def _run(world: CronWorld, data: dict[str, Any], random: Random) -> None:
    await world.apply(CronJob, data)
    for _ in range(25):
        await world.live(lambda: (CronJobController(),), random.choice((1.0, 50.0, 600.0, 4000.0)))
        world.look()
        for job in world.all(Job):
            if not job.status.conditions and random.random() < 0.5:
                await finish(world, job, random.choice(("Complete", "Failed")))
        if random.random() < 0.2:
            await world.settle(random.choice((100.0, 10000.0, 100000.0)))


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.sampled_from(SCHEDULES),
    st.sampled_from(ZONES),
    st.sampled_from(["Allow", "Forbid", "Replace"]),
    st.sampled_from([None, 0, 2]),
)
def test_no_run_is_ever_started_twice(
    seed: int, schedule: str, zone: str | None, policy: str, history: int | None
) -> None:
    random = Random(seed)
    world = CronWorld(random)
    spec = {"timeZone": zone, "concurrencyPolicy": policy}
    spec |= {"successfulJobsHistoryLimit": history, "failedJobsHistoryLimit": history}
    anyio.run(_run, world, cronjob(schedule, **spec), random)
    assert world.begun or schedule == "30 1 * * *"
    if policy != "Allow":
        assert len(status(world).active or ()) <= 1
