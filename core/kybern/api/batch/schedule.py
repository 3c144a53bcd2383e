"""Reads cron schedules: five fields (minute, hour, day of month, month, day of week) or a word like `@daily`.

The grammar is that of robfig/cron's standard parser, which Kubernetes documents for CronJobs; its
messages are the ones users see.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

import attrs

__all__ = ["Schedule", "parse"]

_MONTHS = {
    name: i
    for i, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_YEARS = 5


@attrs.frozen
class Schedule:
    """When something is due."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    """Day of month or day of week is unrestricted: then both must fit, otherwise either is enough."""
    every: float = 0.0
    """Seconds, for `@every`; the fields do not count then."""

    @property
    def step(self) -> int:
        """`@every` in whole seconds."""
        return max(1, int(self.every))

    def next(self, after: datetime) -> datetime | None:
        """The first due time after `after`, in its time zone; None when there is none within five years.

        Clocks that go forward skip what was due in the hour that does not exist, clocks that go back
        repeat what is due in the hour that comes twice (so does the parser that Kubernetes uses). That is
        why steps are made in UTC and only looked at in the zone; `after` without a zone is taken as it is.
        """
        zone = after.tzinfo
        start = after.replace(microsecond=0) if zone is None else after.astimezone(UTC).replace(microsecond=0)
        if self.every:
            found: datetime | None = start + timedelta(seconds=self.step)
        else:
            found = self._search(start.replace(second=0) + timedelta(minutes=1), zone)
        return found.astimezone(zone) if found is not None and zone is not None else found

    def _search(self, moment: datetime, zone: tzinfo | None) -> datetime | None:
        last = moment.year + _YEARS
        while moment.year <= last:
            skipped = self._skip(moment, zone)
            if skipped is None:
                return moment
            moment = skipped
        return None

    def _skip(self, moment: datetime, zone: tzinfo | None) -> datetime | None:
        """The next moment worth a look, None when this one fits."""
        local = moment.astimezone(zone) if zone is not None else moment
        if local.month not in self.months:
            first = local.replace(day=1, hour=0, minute=0, fold=0)
            return _later((first + timedelta(days=32)).replace(day=1), moment)
        if not self._day_fits(local):
            return _later(local.replace(hour=0, minute=0, fold=0) + timedelta(days=1), moment)
        minute = local.minute
        if local.hour not in self.hours:
            ahead = min((hour for hour in self.hours if hour > local.hour), default=24) - local.hour
            # Clocks may be put forward on the way: the last hour before is looked at again.
            return moment + timedelta(hours=max(ahead - 2, 0), minutes=60 - minute)
        if minute in self.minutes:
            return None
        return moment + timedelta(minutes=min((m for m in self.minutes if m > minute), default=60) - minute)

    def _day_fits(self, moment: datetime) -> bool:
        day, weekday = moment.day in self.days, (moment.weekday() + 1) % 7 in self.weekdays
        return (day and weekday) if self.any_day else (day or weekday)


def _later(midnight: datetime, moment: datetime) -> datetime:
    """A local midnight in UTC. One that does not exist is taken by the clock of the day before, so it comes a little
    later; it must never lie behind."""
    if midnight.tzinfo is None:
        return midnight
    return max(midnight.astimezone(UTC), moment + timedelta(minutes=1))


@lru_cache(4096)
def parse(text: str) -> Schedule:
    """The schedule; ValueError with the parser's words when it is none."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        return _parse_word(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (
        _parse_field(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True)
    )
    any_day = any(_is_star(part) for field in (fields[2], fields[4]) for part in field.split(","))
    return Schedule(minutes, hours, days, months, weekdays, any_day)


def _parse_word(text: str) -> Schedule:
    if text.startswith(_EVERY):
        length = text.removeprefix(_EVERY)
        if not _DURATION.fullmatch(length):
            raise ValueError(f'failed to parse duration {text}: time: invalid duration "{length}"')
        return Schedule(every=sum(float(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(length)) or 1.0)
    if text not in _WORDS:
        raise ValueError(f"unrecognized descriptor: {text}")
    return parse(_WORDS[text])


def _is_star(expression: str) -> bool:
    """`*` and `?`, unless a step makes them a restriction."""
    head, slash, step = expression.partition("/")
    return head in ("*", "?") and (not slash or step in ("1", "01"))


def _parse_field(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for expression in field.split(","):
        if expression:
            found.update(_parse_range(expression, low, high, names))
    return frozenset(found)


def _parse_range(expression: str, low: int, high: int, names: dict[str, int]) -> range:
    parts = expression.split("/")
    ends = parts[0].split("-")
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        start = end = _number(ends[0], names)
        if len(ends) == 2:
            end = _number(ends[1], names)
        elif len(ends) > 2:
            raise ValueError(f"too many hyphens: {expression}")
    step = 1
    if len(parts) == 2:
        step = _number(parts[1], {})
        end = high if len(ends) == 1 else end
    elif len(parts) > 2:
        raise ValueError(f"too many slashes: {expression}")
    _check_range(expression, start, end, step, low, high)
    return range(start, end + 1, step)


def _check_range(expression: str, start: int, end: int, step: int, low: int, high: int) -> None:
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {expression}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {expression}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if not step:
        raise ValueError(f"step of range should be a positive number: {expression}")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
