"""Objects that the server deletes by itself when they are old: Events, after an hour without news.

The hour is upstream's `--event-ttl`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api.kind import Kind
from kybern.api.time import parse_time

__all__ = ["EVENT_LIFETIME", "expiry_of"]

EVENT_LIFETIME = 3600.0
"""Seconds."""


def expiry_of(kind: Kind) -> Callable[[Any], float] | None:
    """When an object of this kind may go, in seconds since the epoch; None for kinds that stay."""
    return _event_expiry if (kind.group, kind.plural) == ("", "events") else None


def _event_expiry(event: Any) -> float:
    series = event.series
    told = (series.lastObservedTime if series is not None else None, event.lastTimestamp, event.eventTime)
    times = [parse_time(text) for text in (*told, event.metadata.creationTimestamp) if text]
    return max(times, default=0.0) + EVENT_LIFETIME
