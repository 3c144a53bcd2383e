"""Times as the API writes them: RFC 3339 in UTC, to the second (`Time`) or microsecond (`MicroTime`)."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["canonical_micro_time", "canonical_time", "format_micro_time", "format_time", "human_duration", "parse_time"]

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)([.,]\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


@lru_cache(maxsize=64)
def _whole_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_time(seconds: float) -> str:
    """Seconds since the epoch -> `2026-01-01T00:00:00Z`; fractions are cut off."""
    return _whole_second(int(seconds // 1))


def format_micro_time(seconds: float) -> str:
    """Seconds since the epoch -> `2026-01-01T00:00:00.000000Z`."""
    micros = round(seconds * 1_000_000)
    return f"{_whole_second(micros // 1_000_000)[:-1]}.{micros % 1_000_000:06d}Z"


@lru_cache(maxsize=4096)
def parse_time(text: str) -> float:
    """RFC 3339 text -> seconds since the epoch; ValueError when it is none."""
    found = _RFC3339.match(text)
    if not found:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(g) for g in found.groups()[:6])
    datetime(year, month, day, hour, minute, min(second, 59))
    seconds = float(timegm((year, month, day, hour, minute, second, 0, 0, 0)))
    if fraction := found[7]:
        seconds += float("0." + fraction[1:])
    zone = found[8]
    if zone not in "Zz":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds


@lru_cache(maxsize=1024)
def canonical_time(text: str) -> str:
    """Any RFC 3339 time in UTC and to the second; ValueError when it is none."""
    if len(text) == 20 and text[-1] == "Z" and text[10] == "T":
        parse_time(text)
        return text
    return format_time(parse_time(text))


@lru_cache(maxsize=1024)
def canonical_micro_time(text: str) -> str:
    """Any RFC 3339 time in UTC and to the microsecond; ValueError when it is none."""
    # What comes here is mostly so already (thousands of leases), and no two alike: only its second is looked at.
    if len(text) == 27 and text[19] == "." and text[26] == "Z" and text[20:26].isdecimal() and text.isascii():
        return f"{canonical_time(text[:19] + 'Z')[:-1]}{text[19:]}"
    return format_micro_time(parse_time(text))


def human_duration(seconds: float) -> str:
    """A span as kubectl's AGE column shows it: `45s`, `2m5s`, `3h12m`, `4d2h`, `28d`, `2y3d`."""
    seconds = int(seconds)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 60 * 2:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 60 * 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"
