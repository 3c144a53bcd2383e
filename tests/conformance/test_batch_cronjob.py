"""CronJobs: which Jobs are made when, which run on, which go, and what of it is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from tests.conformance.conftest import Asker
from tests.conformance.test_batch_job import refused

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


@attrs.frozen
class Crons:
    """One CronJob of one name, through the official client."""

    api: Asker

    def body(self, schedule: str = "0 * * * *", command: str = "exit 0", name: str = "tick", **spec: Any) -> Any:
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", command]}],
        }
        template = {"metadata": {"labels": {"of": "tick"}}, "spec": {"template": {"spec": pod}}}
        return {"metadata": {"name": name}, "spec": {"schedule": schedule, "jobTemplate": template, **spec}}

    def create(self, *what: Any, **spec: Any) -> Any:
        return self.api.batch.create_namespaced_cron_job(self.api.namespace, self.body(*what, **spec))

    def read(self) -> Any:
        return self.api.batch.read_namespaced_cron_job("tick", self.api.namespace)

    def patch(self, **spec: Any) -> Any:
        return self.api.batch.patch_namespaced_cron_job("tick", self.api.namespace, {"spec": spec})

    def jobs(self) -> list[Any]:
        found = self.api.batch.list_namespaced_job(self.api.namespace).items
        return sorted((j for j in found if not j.metadata.deletion_timestamp), key=lambda j: j.metadata.name)

    def complete(self, count: int) -> list[Any]:
        """The Jobs, once so many are complete."""
        found: list[Any] = self.api.until(
            lambda: (js := self.jobs()) and sum(j.status.completion_time is not None for j in js) == count and js
        )
        return found

    def active(self, count: int) -> list[str]:
        """Names of the Jobs that the status says are active, once they are so many."""
        found = self.api.until(lambda: len(refs := self.read().status.active or []) == count and [refs])[0]
        return [reference.name for reference in found]

    def next_hour(self, hours: int = 1) -> None:
        self.api.advance(hours * 3600)


@pytest.fixture
def crons(api: Asker) -> Crons:
    return Crons(api)


def test_each_hour_one_job_named_and_marked_by_its_time(crons: Crons) -> None:
    crons.create()
    crons.next_hour(2)
    first, second = crons.complete(2)
    for job in (first, second):
        due = datetime.fromisoformat(job.metadata.annotations[SCHEDULED])
        assert job.metadata.name == f"tick-{int(due.timestamp()) // 60}" and due.minute == 0
        assert job.metadata.labels == {"of": "tick"}
        owner = job.metadata.owner_references[0]
        assert (owner.kind, owner.name, owner.controller, owner.block_owner_deletion) == ("CronJob", "tick", True, True)
    status = crons.api.until(lambda: not (s := crons.read().status).active and s.last_successful_time and s)
    assert status.last_schedule_time == datetime.fromisoformat(second.metadata.annotations[SCHEDULED])
    told = crons.api.events("tick")
    assert f"Normal SuccessfulCreate Created job {second.metadata.name}" in told
    assert f"Normal SawCompletedJob Saw completed job: {second.metadata.name}, condition: Complete" in told


def test_runs_overlap_where_they_may(crons: Crons) -> None:
    crons.create(command="sleep 100000")
    crons.next_hour(2)
    assert crons.active(2) == [job.metadata.name for job in crons.jobs()]


def test_a_run_waits_for_the_one_before(crons: Crons) -> None:
    crons.create(command="sleep 7000", concurrencyPolicy="Forbid")
    crons.next_hour(2)
    first = crons.active(1)
    text = "Not starting job because prior execution is running and concurrency policy is Forbid"
    assert f"Normal JobAlreadyActive {text}" in crons.api.events("tick")
    crons.next_hour(1)
    assert crons.active(1) != first


def test_a_run_takes_the_place_of_the_one_before(crons: Crons) -> None:
    crons.create(command="sleep 100000", concurrencyPolicy="Replace")
    crons.next_hour()
    first = crons.active(1)
    crons.next_hour()
    crons.api.until(lambda: crons.active(1) != first)
    assert [job.metadata.name for job in crons.jobs()] == crons.active(1)
    assert f"Normal SuccessfulDelete Deleted job {first[0]}" in crons.api.events("tick")


def test_suspended_nothing_begins_and_what_runs_goes_on(crons: Crons) -> None:
    crons.create(command="sleep 100000")
    crons.next_hour()
    running = crons.active(1)
    crons.patch(suspend=True)
    crons.next_hour(5)
    assert crons.active(1) == running
    crons.patch(suspend=False)
    assert len(crons.active(2)) == 2, "of those that were missed the last is made up for"


def test_one_that_is_too_late_is_left_out(crons: Crons) -> None:
    due = crons.create(suspend=True, startingDeadlineSeconds=60).metadata.creation_timestamp + timedelta(minutes=10)
    crons.patch(schedule=f"{due.minute} {due.hour} * * *")
    crons.api.advance(1200)
    crons.patch(suspend=False)
    told = crons.api.until(lambda: [e for e in crons.api.events("tick") if "MissSchedule" in e])
    assert told[0].startswith("Warning MissSchedule Missed scheduled time to start a job: ")
    assert crons.jobs() == []


def test_more_than_a_hundred_missed_are_told_and_one_is_made_up_for(crons: Crons) -> None:
    crons.create("* * * * *", "sleep 100000", suspend=True)
    crons.next_hour(3)
    crons.patch(suspend=False)
    assert len(crons.active(1)) == 1
    text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
    assert f"Warning TooManyMissedTimes {text}" in crons.api.events("tick")


def test_old_jobs_go_by_how_they_ended(crons: Crons) -> None:
    crons.create(successfulJobsHistoryLimit=2)
    crons.next_hour(5)
    assert len(crons.complete(2)) == 2
    crons.patch(successfulJobsHistoryLimit=0)
    crons.api.until(lambda: crons.jobs() == [])


def test_a_job_made_by_hand_from_it(crons: Crons) -> None:
    crons.create(suspend=True)
    crons.api.kubectl("create", "job", "now", "--from=cronjob/tick")
    job = crons.complete(1)[0]
    assert job.metadata.annotations == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert job.metadata.owner_references[0].name == "tick"
    assert not crons.read().status.active


def test_a_job_that_is_deleted_is_missing(crons: Crons) -> None:
    crons.create(command="sleep 100000")
    crons.next_hour()
    name = crons.active(1)[0]
    crons.api.batch.delete_namespaced_job(name, crons.api.namespace, propagation_policy="Background")
    crons.active(0)
    assert f"Normal MissingJob Active job went missing: {name}" in crons.api.events("tick")


@pytest.mark.parametrize(
    ("way", "jobs_stay"), [("Background", False), ("Foreground", False), ("Orphan", True), (None, False)]
)
def test_deleted_it_takes_its_jobs_along_unless_told_otherwise(crons: Crons, way: str | None, jobs_stay: bool) -> None:
    crons.create(command="sleep 100000")
    crons.next_hour()
    crons.active(1)
    options = {"propagation_policy": way} if way else {}
    crons.api.batch.delete_namespaced_cron_job("tick", crons.api.namespace, **options)
    crons.api.until(lambda: not crons.api.batch.list_namespaced_cron_job(crons.api.namespace).items)
    if not jobs_stay:
        crons.api.until(lambda: not crons.jobs() and not crons.api.pods(""))
        return
    crons.api.until(lambda: not crons.jobs()[0].metadata.owner_references)
    assert crons.jobs()[0].status.active == 1


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("@every 90m", ""),
        ("@weekly", ""),
        ("*/5,3 0-6/2 ? JAN-mar,12 sun-FRI", ""),
        ("0 0 31 2 *", ""),
        ("0 0 L * *", 'failed to parse int from L: strconv.Atoi: parsing \\"L\\": invalid syntax'),
        ("0 0 * * 7", "end of range (7) above maximum (6): 7"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("@reboot", "unrecognized descriptor: @reboot"),
        ("TZ=UTC 0 * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ],
)
def test_the_dialect_of_schedules(crons: Crons, schedule: str, why: str) -> None:
    if not why:
        assert crons.create(schedule).spec.schedule == schedule
        return
    text = refused(lambda: crons.create(schedule))
    assert "spec.schedule: Invalid value" in text and why in text


@pytest.mark.parametrize(
    ("name", "spec", "why"),
    [
        ("a" * 53, {}, 'metadata.name: Invalid value: \\"' + "a" * 53 + '\\": must be no more than 52 characters'),
        ("tick", {"timeZone": "Local"}, "timeZone must be an explicit time zone as defined in"),
        ("tick", {"timeZone": "Mars/Base"}, "unknown time zone Mars/Base"),
        ("tick", {"timeZone": ""}, "timeZone must be nil or non-empty string"),
        ("tick", {"concurrencyPolicy": "Never"}, 'supported values: \\"Allow\\", \\"Forbid\\", \\"Replace\\"'),
        ("tick", {"startingDeadlineSeconds": -1}, "must be greater than or equal to 0"),
        ("tick", {"failedJobsHistoryLimit": -1}, "must be greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused(crons: Crons, name: str, spec: dict[str, Any], why: str) -> None:
    assert why in refused(lambda: crons.create(name=name, **spec))


def test_a_zone_says_when_its_hours_are(crons: Crons) -> None:
    crons.create("30 6 * * *", timeZone="Asia/Kathmandu", successfulJobsHistoryLimit=1)
    crons.next_hour(24)
    due = crons.complete(1)[0].metadata.annotations[SCHEDULED]
    assert due.endswith("T06:30:00+05:45")
