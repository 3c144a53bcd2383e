"""When a CronJob runs: pure functions of its schedule, its zone and the time.

The run to start is always the most recent one that is due; earlier ones that were missed are only
counted. How many were missed is counted to a little over a hundred, which is when people are told.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import attrs

from kybern.api.batch import schedule
from kybern.api.batch.schedule import Schedule
from kybern.api.time import parse_time

__all__ = [
    "MANY",
    "Due",
    "due",
    "handled",
    "job_name",
    "next_after",
    "parse",
    "rfc1123",
    "scheduled_timestamp",
    "zone_of",
]

MANY = 100


@attrs.frozen
class Due:
    """The most recent run that should have started, and how many there were since the last one."""

    time: datetime | None
    missed: int


def zone_of(cronjob: Any) -> tzinfo:
    """The zone that the schedule means. ValueError when there is no such zone."""
    name = cronjob.spec.timeZone
    return UTC if name is None else _zone(name)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def parse(cronjob: Any) -> tuple[Schedule, tzinfo]:
    """The schedule and the zone it is in; a zone inside the schedule (an old habit) goes first."""
    text = cronjob.spec.schedule
    head, _, rest = text.partition(" ")
    name, equals, zone = head.partition("=")
    if equals and name in ("TZ", "CRON_TZ"):
        return schedule.parse(rest.strip()), _zone(zone)
    return schedule.parse(text), zone_of(cronjob)


def handled(cronjob: Any) -> float:
    """Runs up to here are dealt with."""
    return parse_time(cronjob.status.lastScheduleTime or cronjob.metadata.creationTimestamp)


def due(timetable: Schedule, zone: tzinfo, since: float, now: float, deadline: float | None = None) -> Due:
    """What should have started after `since` and by now, at most `deadline` seconds ago."""
    if deadline is not None:
        # A run that was due at that very second is in time.
        since = max(since, now - deadline - 1e-6)
    if since > now:
        return Due(None, 0)
    start, end = _moment(since, zone), _moment(now, zone)
    missed, time = 0, timetable.next(start)
    latest = None
    while time is not None and time <= end and missed <= MANY:
        missed, latest, time = missed + 1, time, timetable.next(time)
    return Due(_latest(timetable, latest, end) if missed > MANY and latest else latest, missed)


def next_after(timetable: Schedule, zone: tzinfo, since: float, now: float) -> float | None:
    """Seconds until the next run; None when there is none within years."""
    end = _moment(now, zone)
    start = _moment(min(since, now), zone)
    before = _latest(timetable, start, end) if timetable.every else end
    time = timetable.next(before)
    return time.timestamp() - now if time is not None else None


def _moment(time: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(time, zone)


def _latest(timetable: Schedule, known: datetime, end: datetime) -> datetime:
    """The last run up to `end`, given one that is not after it."""
    if timetable.every:
        step = timetable.step
        return known + timedelta(seconds=(end - known).total_seconds() // step * step)
    span = timedelta(minutes=1)
    # Look back from the end, further each time, so that a year of minutes costs no more than an hour of them.
    while (begin := end - span) > known:
        found = timetable.next(begin)
        if found is not None and found <= end:
            known = found
            break
        span *= 2
    while (later := timetable.next(known)) is not None and later <= end:
        known = later
    return known


def job_name(cronjob: Any, time: datetime) -> str:
    """The same for the same minute: the name is the lock that keeps a run from being started twice."""
    return f"{cronjob.metadata.name}-{int(time.timestamp()) // 60}"


def scheduled_timestamp(time: datetime) -> str:
    """RFC 3339 in the schedule's own zone."""
    text = time.replace(microsecond=0).isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def rfc1123(time: datetime) -> str:
    """As Events show times: `Thu, 01 Jan 2026 00:00:00 +0000`."""
    from email.utils import format_datetime

    return format_datetime(time.astimezone(UTC))
