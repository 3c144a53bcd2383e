"""Cron schedules: what can be written, what each mistake is called, and when the next run is due."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from kybern.api.batch.schedule import parse

THURSDAY = datetime(2026, 1, 1, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("* * * * *", "2026-01-01T12:35"),
        ("*/15 * * * *", "2026-01-01T12:45"),
        ("0 0 * * *", "2026-01-02T00:00"),
        ("@daily", "2026-01-02T00:00"),
        ("@hourly", "2026-01-01T13:00"),
        ("30 9 * * mon-fri", "2026-01-02T09:30"),
        ("0 0 * * SUN", "2026-01-04T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 1 JAN,JUL *", "2026-07-01T00:00"),
        ("5/20 * * * *", "2026-01-01T12:45"),
        ("0 12 13 * 5", "2026-01-02T12:00"),
        ("0 12 13 * ?", "2026-01-13T12:00"),
        ("0 12 */1 * 5", "2026-01-02T12:00"),
    ],
)
def test_the_next_run(text, due):
    found = parse(text).next(THURSDAY)
    assert found is not None
    assert found.isoformat()[:16] == due


def test_a_fixed_interval_counts_from_the_last_run():
    found = parse("@every 1h30m").next(THURSDAY)
    assert found is not None
    assert found.isoformat() == "2026-01-01T14:04:56+00:00"


def test_a_day_that_never_comes_is_never_due():
    assert parse("0 0 31 2 *").next(THURSDAY) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every fortnight", 'failed to parse duration @every fortnight: time: invalid duration "fortnight"'),
    ],
)
def test_a_mistake_is_named(text, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        parse(text)
