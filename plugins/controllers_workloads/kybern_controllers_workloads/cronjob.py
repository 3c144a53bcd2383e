"""CronJob: makes a Job at each time of a schedule.

A reconcile notes what became of the Jobs it made, starts the most recent run that is due (at most
one: runs that were missed are not made up for), writes the status, and clears away old Jobs. A
Job's name says the minute it was due, so that no two controllers, nor one that died in between,
can start the same run twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from kybern.api import types
from kybern.api.batch.schedule import Schedule
from kybern.api.errors import StatusError
from kybern.api.time import format_time, parse_time
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import controller_of, controller_reference, is_controlled_by
from kybern.reconcile.pods import owner_index
from kybern_controllers_workloads import cronjob_times as times
from kybern_controllers_workloads.job_view import is_finished_job
from kybern_controllers_workloads.newest import Newest
from kybern_controllers_workloads.pod_writer import namespace_ends

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
STILL_ACTIVE = "Not starting job because prior execution is running and concurrency policy is Forbid"
NEVER = "time difference between two schedules is less than 1 second"
"""What upstream says of a day that no calendar has, like the 31st of February."""
UNSUPPORTED_ZONE = (
    'CRON_TZ or TZ used in schedule "{}" is not officially supported, '
    "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


def new_job(cronjob: Any, time: datetime) -> Any:
    """The Job of a run."""
    from kybern.api.batch import Job
    from kybern.api.meta import ObjectMeta

    template = cronjob.spec.jobTemplate
    metadata = ObjectMeta(
        name=times.job_name(cronjob, time),
        namespace=cronjob.metadata.namespace,
        labels=dict(template.metadata.labels or {}) or None,
        annotations={**(template.metadata.annotations or {}), SCHEDULED: times.scheduled_timestamp(time)},
        ownerReferences=[controller_reference(cronjob)],
    )
    return Job(metadata=metadata, spec=template.spec)


def surplus(cronjob: Any, jobs: Sequence[Any]) -> list[Any]:
    """Finished Jobs beyond the history limits, oldest first."""
    found = []
    finished = [(end, job) for job in jobs if (end := is_finished_job(job)) and not job.metadata.deletionTimestamp]
    limits = ("Complete", cronjob.spec.successfulJobsHistoryLimit), ("Failed", cronjob.spec.failedJobsHistoryLimit)
    for kind, limit in limits:
        if limit is None:
            continue
        ended = [job for end, job in finished if end == kind]
        ended.sort(key=lambda job: (job.status.startTime or "9", job.metadata.name))
        found += ended[: max(0, len(ended) - limit)]
    return found


def _is_turn(old: Any, new: Any) -> bool:
    """Of a Job's changes only its coming, its end and its going matter."""
    return old is None or new is None or is_finished_job(old) != is_finished_job(new)


class CronJobController(Controller):
    """Jobs by the clock."""

    name = "cronjob"

    def setup(self, context: Context) -> None:
        from kybern.api.batch import CronJob, Job

        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.job_kind = Job
        self.newest = Newest()
        self._missed: dict[Key, datetime] = {}
        self._rescheduled: dict[Key, float] = {}
        self.cronjobs = context.informer(CronJob)
        self.cronjobs.on_change(self._note_schedule)
        context.watch(CronJob, on=self.newest.is_news)
        self.jobs = context.watch(Job, _cronjob_of, on=_is_turn)
        self.jobs.add_index("owner", owner_index)

    def _note_schedule(self, old: Any, new: Any) -> None:
        """A new schedule says nothing about the time before it was given."""
        if old is None or new is None:
            return
        before, after = old.spec, new.spec
        if (before.schedule, before.timeZone) != (after.schedule, after.timeZone):
            self._rescheduled[Key(new.metadata.namespace, new.metadata.name)] = self.clock.now()

    async def reconcile(self, key: Key) -> Result | None:
        cached: Any = self.cronjobs.get(key.name, key.namespace)
        cronjob = self.newest.current(key, cached)
        if cronjob is None:
            self.newest.forget(key)
            self._missed.pop(key, None)
            self._rescheduled.pop(key, None)
            return None
        children: list[Any] = self.jobs.by_index("owner", cronjob.metadata.uid)
        changed = types.copy(cronjob)
        self._note_ends(changed, children)
        await self._note_lost(changed, children)
        try:
            wait = None if cronjob.metadata.deletionTimestamp else await self._run(key, changed)
        finally:
            # Also when a run cannot be started, what was seen is kept, and a run that was begun is remembered.
            await self._write_status(key, cronjob, changed)
        for job in surplus(changed, children):
            await self._delete(changed, job)
        return Result(wait) if wait is not None else None

    def _note_ends(self, cronjob: Any, children: Sequence[Any]) -> None:
        """Take finished Jobs off the active ones, take up those that were begun before we could say so."""
        status = cronjob.status
        active = {reference.uid for reference in status.active or ()}
        for job in children:
            uid, end = job.metadata.uid, is_finished_job(job)
            if not end and uid not in active and not job.metadata.deletionTimestamp:
                self._take_up(cronjob, job)
            elif end and uid in active:
                _drop(status, uid)
                text = f"Saw completed job: {job.metadata.name}, condition: {end}"
                self.events.event(cronjob, "Normal", "SawCompletedJob", text)
            if end == "Complete" and job.status.completionTime:
                _advance(status, "lastSuccessfulTime", job.status.completionTime)
        if latest := max((time for job in children if (time := _scheduled(job))), default=None):
            _advance(status, "lastScheduleTime", format_time(latest))

    def _take_up(self, cronjob: Any, job: Any) -> None:
        time = _scheduled(job)
        if time is not None and job.metadata.name == f"{cronjob.metadata.name}-{int(time) // 60}":
            _add(cronjob.status, job)
            return
        text = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
        self.events.event(cronjob, "Warning", "UnexpectedJob", text)

    async def _note_lost(self, cronjob: Any, children: Sequence[Any]) -> None:
        """An active Job that is not in the cache may be too new for it: the server knows."""
        known = {job.metadata.uid for job in children}
        for reference in list(cronjob.status.active or ()):
            if reference.uid in known or await self._exists(reference):
                continue
            _drop(cronjob.status, reference.uid)
            self.events.event(cronjob, "Normal", "MissingJob", f"Active job went missing: {reference.name}")

    async def _exists(self, reference: Any) -> bool:
        try:
            job: Any = await self.client.get(self.job_kind, reference.name, reference.namespace)
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return bool(job.metadata.uid == reference.uid)

    async def _run(self, key: Key, cronjob: Any) -> float | None:
        """Start what is due; seconds until there may be more."""
        timetable = self._timetable(cronjob)
        if timetable is None:
            return None
        now = self.clock.now()
        since = max(times.handled(cronjob), self._rescheduled.get(key, 0.0))
        wait = times.next_after(*timetable, since, now)
        if wait is None:
            text = f"invalid schedule: {cronjob.spec.schedule} : {NEVER}"
            self.events.event(cronjob, "Warning", "InvalidSchedule", text)
            return None
        deadline = cronjob.spec.startingDeadlineSeconds
        due = times.due(*timetable, since, now, deadline)
        if due.missed > times.MANY:
            self.events.event(cronjob, "Warning", "TooManyMissedTimes", TOO_MANY)
        if due.time is None:
            if deadline is not None:
                self._note_missed(key, cronjob, times.due(*timetable, since, now).time)
        elif cronjob.spec.concurrencyPolicy == "Forbid" and cronjob.status.active:
            self.events.event(cronjob, "Normal", "JobAlreadyActive", STILL_ACTIVE)
        else:
            await self._start(cronjob, due.time)
        return wait

    def _timetable(self, cronjob: Any) -> tuple[Schedule, tzinfo] | None:
        """Schedule and zone; None when there is nothing to run, of which people are told if it is a fault."""
        spec = cronjob.spec
        try:
            times.zone_of(cronjob)
        except ValueError as error:
            text = f'invalid timeZone: "{spec.timeZone}": {error}'
            self.events.event(cronjob, "Warning", "UnknownTimeZone", text)
            return None
        if spec.suspend:
            return None
        if "TZ" in spec.schedule:
            self.events.event(cronjob, "Warning", "UnsupportedSchedule", UNSUPPORTED_ZONE.format(spec.schedule))
        try:
            return times.parse(cronjob)
        except ValueError as error:
            text = f'unparseable schedule: "{spec.schedule}" : {error}'
            self.events.event(cronjob, "Warning", "UnparseableSchedule", text)
            return None

    def _note_missed(self, key: Key, cronjob: Any, missed: datetime | None) -> None:
        """Tell once of a run that can no longer be started in time."""
        if missed is not None and self._missed.get(key) != missed:
            self._missed[key] = missed
            text = f"Missed scheduled time to start a job: {times.rfc1123(missed)}"
            self.events.event(cronjob, "Warning", "MissSchedule", text)

    async def _start(self, cronjob: Any, time: datetime) -> None:
        if cronjob.spec.concurrencyPolicy == "Replace":
            await self._stop_active(cronjob)
        job = new_job(cronjob, time)
        try:
            made = await self.client.create(job)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                await self._already_there(cronjob, job.metadata.name, time)
                return
            if not namespace_ends(error):
                self.events.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.events.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {made.metadata.name}")
        _add(cronjob.status, made)
        cronjob.status.lastScheduleTime = format_time(time.timestamp())

    async def _stop_active(self, cronjob: Any) -> None:
        for reference in list(cronjob.status.active or ()):
            try:
                job: Any = await self.client.get(self.job_kind, reference.name, reference.namespace)
            except StatusError as error:
                self.events.event(cronjob, "Warning", "FailedGet", f"Get job: {error}")
                raise
            await self._delete(cronjob, job)

    async def _already_there(self, cronjob: Any, name: str, time: datetime) -> None:
        """The name is taken: by this run, which we began and had no time to note, or by another's Job."""
        found: Any = await self.client.get(self.job_kind, name, cronjob.metadata.namespace)
        if not is_controlled_by(found, cronjob):
            return
        if not is_finished_job(found) and found.metadata.uid not in {r.uid for r in cronjob.status.active or ()}:
            _add(cronjob.status, found)
        cronjob.status.lastScheduleTime = format_time(time.timestamp())

    async def _delete(self, cronjob: Any, job: Any) -> None:
        metadata = job.metadata
        try:
            await self.client.delete(
                self.job_kind, metadata.name, metadata.namespace, uid=metadata.uid, propagation="Background"
            )
        except StatusError as error:
            if error.code != 404:
                self.events.event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error}")
                raise
        else:
            self.events.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {metadata.name}")
        _drop(cronjob.status, metadata.uid)

    async def _write_status(self, key: Key, old: Any, changed: Any) -> None:
        self.newest.writes(key, changed.status)
        if changed.status != old.status:
            self.newest.wrote(key, old, await self.client.update_status(changed))


def _cronjob_of(job: Any) -> list[Key]:
    reference = controller_of(job)
    if reference is None or reference.kind != "CronJob":
        return []
    return [Key(job.metadata.namespace, reference.name)]


def _scheduled(job: Any) -> float | None:
    """The time that a Job of ours was due."""
    return _time_of((job.metadata.annotations or {}).get(SCHEDULED, ""))


@lru_cache(10_000)
def _time_of(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _advance(status: Any, field: str, time: str) -> None:
    known = getattr(status, field)
    if not known or parse_time(known) < parse_time(time):
        setattr(status, field, time)


def _add(status: Any, job: Any) -> None:
    from kybern.api.core import ObjectReference

    metadata = job.metadata
    reference = ObjectReference(
        kind=job.kind,
        apiVersion=job.apiVersion,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resourceVersion=metadata.resourceVersion,
    )
    status.active = [*(status.active or ()), reference]


def _drop(status: Any, uid: str) -> None:
    status.active = [reference for reference in status.active or () if reference.uid != uid] or None
