"""Event of events.k8s.io: the same stored objects as core events, under other names and stricter rules."""

from __future__ import annotations

from typing import Any

from kybern.api.core import event as core
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.validation import names

NAMES = {
    "metadata": "metadata",
    "eventTime": "eventTime",
    "reportingController": "reportingComponent",
    "reportingInstance": "reportingInstance",
    "action": "action",
    "reason": "reason",
    "regarding": "involvedObject",
    "related": "related",
    "note": "message",
    "type": "type",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""This group's field -> the core event's."""


def to_core(obj: Any) -> Any:
    """The event as it is stored."""
    from kybern.api.core import Event, EventSeries

    stored = Event(**{theirs: getattr(obj, ours) for ours, theirs in NAMES.items()})
    if obj.series is not None:
        stored.series = EventSeries(count=obj.series.count, lastObservedTime=obj.series.lastObservedTime)
    return stored


def from_core(stored: Any) -> Any:
    """A stored event as this group shows it."""
    from kybern.api.events import Event, EventSeries

    obj = Event(**{ours: getattr(stored, theirs) for ours, theirs in NAMES.items()})
    if stored.series is not None:
        last = stored.series.lastObservedTime or ""
        obj.series = EventSeries(count=stored.series.count or 0, lastObservedTime=last)
    return obj


def validate(obj: Any, errors: Errors) -> None:
    stored = to_core(obj)
    if obj.metadata.resourceVersion:
        core.validate(stored, errors)
        return
    name = obj.metadata.name or ""
    names.add_all(errors, "metadata.name", name, names.dns1123_subdomain(name) if name else [])
    core.validate_strictly(stored, errors)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    core.validate_strict_update(to_core(new), to_core(old), errors)


def row(obj: Any, now: float) -> list[Any]:
    return core.row(to_core(obj), now)


def _on_core(read: Any) -> Any:
    return lambda obj: read(to_core(obj))


def selectable_fields() -> dict[str, Any]:
    """The core API's, under this version's names for them too."""
    fields = {name: _on_core(read) for name, read in core.selectable_fields().items()}
    renamed = {name.replace("involvedObject.", "regarding."): read for name, read in fields.items()}
    return fields | renamed | {"reportingController": fields["reportingComponent"]}


KIND = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    namespaced=True,
    short_names=("ev",),
    validate=validate,
    validate_update=validate_update,
    selectable=selectable_fields(),
    columns=core.COLUMNS,
    row=row,
    storage_version_of=("", "v1"),
    convert_from_storage=from_core,
    convert_to_storage=to_core,
    allow_create_on_update=True,
)
