"""When CronJobs run: fields, zones, both edges of daylight saving, and what was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.batch import CronJob
from kybern.api.batch.schedule import parse
from kybern_controllers_workloads import cronjob_times as times

NEW_YORK = ZoneInfo("America/New_York")
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]


def runs(text: str, start: str, count: int, zone: str = "UTC") -> list[str]:
    timetable = parse(text)
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    found = []
    for _ in range(count):
        after = timetable.next(moment)
        assert after is not None
        moment = after
        found.append(moment.isoformat())
    return found


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("*/15 * * * *", "2026-01-01T00:00:00", ["2026-01-01T00:15:00+00:00", "2026-01-01T00:30:00+00:00"]),
        ("0 22 * * 1-5", "2026-01-02T22:00:00", ["2026-01-05T22:00:00+00:00", "2026-01-06T22:00:00+00:00"]),
        ("5 4 * * sun", "2026-01-01T00:00:00", ["2026-01-04T04:05:00+00:00", "2026-01-11T04:05:00+00:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00:00", ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]),
        ("0 0 13 * FRI", "2026-01-01T00:00:00", ["2026-01-02T00:00:00+00:00", "2026-01-09T00:00:00+00:00"]),
        ("0 0 */10 * mon", "2026-01-01T00:00:00", ["2026-01-05T00:00:00+00:00", "2026-01-11T00:00:00+00:00"]),
        ("0 0 1 jan,JUL ?", "2026-01-01T00:00:00", ["2026-07-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"]),
        ("10-30/10 8 * * *", "2026-01-01T08:10:00", ["2026-01-01T08:20:00+00:00", "2026-01-01T08:30:00+00:00"]),
        ("@hourly", "2026-01-01T00:30:00", ["2026-01-01T01:00:00+00:00", "2026-01-01T02:00:00+00:00"]),
        ("@weekly", "2026-01-01T00:00:00", ["2026-01-04T00:00:00+00:00", "2026-01-11T00:00:00+00:00"]),
        ("@yearly", "2026-01-01T00:00:00", ["2027-01-01T00:00:00+00:00", "2028-01-01T00:00:00+00:00"]),
        ("@every 90s", "2026-01-01T00:00:10", ["2026-01-01T00:01:40+00:00", "2026-01-01T00:03:10+00:00"]),
        ("@every 1.9s", "2026-01-01T00:00:00", ["2026-01-01T00:00:01+00:00", "2026-01-01T00:00:02+00:00"]),
    ],
)
def test_next_times(text: str, start: str, expected: list[str]) -> None:
    assert runs(text, start, 2) == expected


def test_what_falls_into_the_hour_that_does_not_exist_is_skipped() -> None:
    found = runs("30 2 * * *", "2026-03-07T00:00:00", 3, "America/New_York")
    assert found == ["2026-03-07T02:30:00-05:00", "2026-03-09T02:30:00-04:00", "2026-03-10T02:30:00-04:00"]


def test_what_falls_into_the_hour_that_comes_twice_is_done_twice() -> None:
    found = runs("30 1 * * *", "2026-11-01T00:00:00", 3, "America/New_York")
    assert found == ["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"]


def test_hourly_work_goes_on_through_both_edges() -> None:
    for start in ("2026-03-08T00:00:00", "2026-11-01T00:00:00"):
        found = [datetime.fromisoformat(text) for text in runs("0 * * * *", start, 30, "America/New_York")]
        assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


def test_a_day_without_midnight() -> None:
    found = runs("0 0 * * *", "2018-11-03T00:00:00", 2, "America/Sao_Paulo")
    assert found == ["2018-11-05T00:00:00-02:00", "2018-11-06T00:00:00-02:00"]
    assert runs("15 1 4 11 *", "2018-11-03T00:00:00", 1, "America/Sao_Paulo") == ["2018-11-04T01:15:00-02:00"]


FIELD = st.sampled_from(["*", "*/7", "3", "1-5", "2,4", "1-6/2"])


@settings(max_examples=150)
@given(FIELD, FIELD, FIELD, FIELD, FIELD, st.sampled_from(ZONES), st.integers(0, 86400 * 3650))
def test_it_is_what_a_look_at_every_minute_finds(
    minute: str, hour: str, day: str, month: str, weekday: str, zone: str, offset: int
) -> None:
    """Against the plainest implementation there is, over up to two days."""
    timetable = parse(f"{minute} {hour} {day} {month} {weekday}")
    start = datetime.fromtimestamp(1_450_000_000 + offset, UTC)
    found = timetable.next(start.astimezone(ZoneInfo(zone)))
    moment = start.replace(second=0, microsecond=0)
    for _ in range(2 * 24 * 60):
        moment += timedelta(minutes=1)
        local = moment.astimezone(ZoneInfo(zone))
        fits = local.month in timetable.months and timetable._day_fits(local)
        if fits and local.hour in timetable.hours and local.minute in timetable.minutes:
            assert found == moment
            return
    assert found is None or found > moment


def cronjob(text: str, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> Any:
    data = {"metadata": {"name": "tick", "creationTimestamp": created}, "spec": {"schedule": text, **spec}}
    return types.from_plain(CronJob, data)


def due(text: str, now: datetime, deadline: int | None = None, zone: str | None = None) -> tuple[str, int]:
    obj = cronjob(text, timeZone=zone)
    found = times.due(*times.parse(obj), times.handled(obj), now.timestamp(), deadline)
    return found.time.isoformat() if found.time else "", found.missed


def test_only_the_last_of_what_was_missed_is_due() -> None:
    assert due("0 * * * *", datetime(2026, 1, 1, 0, 59, tzinfo=UTC)) == ("", 0)
    assert due("0 * * * *", datetime(2026, 1, 1, 5, 30, tzinfo=UTC)) == ("2026-01-01T05:00:00+00:00", 5)
    assert due("0 * * * *", datetime(2026, 1, 5, 4, 30, tzinfo=UTC)) == ("2026-01-05T04:00:00+00:00", 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2027-06-15T12:00:00+00:00"),
        ("@every 40s", "2027-06-15T12:00:00+00:00"),
        ("0 9 * * 1-5", "2027-06-15T09:00:00+00:00"),
        ("* * 1 1 *", "2027-01-01T23:59:00+00:00"),
    ],
)
def test_a_year_of_missed_runs_is_not_counted_out(text: str, expected: str) -> None:
    assert due(text, datetime(2027, 6, 15, 12, tzinfo=UTC)) == (expected, times.MANY + 1)


def test_too_late_is_not_due() -> None:
    now = datetime(2026, 1, 1, 5, 0, 30, tzinfo=UTC)
    assert due("0 * * * *", now, 30) == ("2026-01-01T05:00:00+00:00", 1)
    assert due("0 * * * *", now, 29) == ("", 0)


def test_the_name_is_by_the_minute_and_the_note_in_the_zone() -> None:
    time = datetime(2026, 3, 8, 3, 0, tzinfo=NEW_YORK)
    assert times.job_name(cronjob("@daily"), time) == f"tick-{int(time.timestamp()) // 60}"
    assert times.scheduled_timestamp(time) == "2026-03-08T03:00:00-04:00"
    assert times.scheduled_timestamp(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"


def test_a_zone_in_the_schedule_is_heeded() -> None:
    timetable, zone = times.parse(cronjob("CRON_TZ=Asia/Tokyo 0 9 * * *"))
    assert timetable.next(datetime(2026, 1, 1, tzinfo=zone)) == datetime(2026, 1, 1, 0, 0, tzinfo=UTC)
    with pytest.raises(ValueError, match="unknown time zone Nowhere"):
        times.parse(cronjob("TZ=Nowhere 0 9 * * *"))
    with pytest.raises(ValueError, match="unknown time zone Mars/Base"):
        times.zone_of(cronjob("@daily", timeZone="Mars/Base"))
