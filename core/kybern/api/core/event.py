"""Event: what happened to an object, for people to read. Both groups' events are stored as these.

The older core API accepts nearly everything; events.k8s.io is strict on create and update.
"""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import age
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_immutable

SHORT_MAX = 128
MESSAGE_MAX = 1024
NAMESPACE = Path("involvedObject").child("namespace")
MISMATCH = "does not match event.namespace"


def validate(obj: Any, errors: Errors) -> None:
    """What holds for every event: its namespace is that of the object, and a new-style one is complete."""
    namespace, about = obj.metadata.namespace or "", obj.involvedObject.namespace or ""
    if obj.eventTime:
        if not about and namespace not in ("default", "kube-system"):
            errors.invalid(NAMESPACE, about, MISMATCH)
        _validate_new_style(obj, errors)
    elif about != namespace and (about or namespace not in ("", "default")):
        errors.invalid(NAMESPACE, about, MISMATCH)
    names.add_all(errors, "namespace", namespace, names.dns1123_subdomain(namespace))


def _validate_new_style(obj: Any, errors: Errors) -> None:
    controller = obj.reportingComponent or ""
    if not controller:
        errors.required("reportingController")
    names.add_all(errors, "reportingController", controller, names.qualified_name(controller))
    for field in ("reportingInstance", "action", "reason"):
        value = getattr(obj, field) or ""
        if not value:
            errors.required(field)
        _validate_length(field, value, SHORT_MAX, errors)
    _validate_length("message", obj.message or "", MESSAGE_MAX, errors)


def _validate_length(field: str, value: str, limit: int, errors: Errors) -> None:
    if len(value.encode()) > limit:
        errors.invalid(field, "", f"can have at most {limit} characters")


def validate_strictly(obj: Any, errors: Errors) -> None:
    """What events.k8s.io asks of a new event besides."""
    validate(obj, errors)
    validate_series(obj.series, errors)
    if not obj.eventTime:
        errors.required("eventTime")
    if obj.type not in ("Normal", "Warning"):
        errors.invalid("type", "", f"has invalid value: {obj.type or ''}")
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if getattr(obj, field):
            errors.invalid(field, "", "needs to be unset")
    if obj.source.component or obj.source.host:
        errors.invalid("source", "", "needs to be unset")


def validate_series(series: Any | None, errors: Errors) -> None:
    """A series has at least two occurrences and a last time."""
    if series is None:
        return
    if (series.count or 0) < 2:
        errors.invalid("series.count", "", "should be at least 2")
    if not series.lastObservedTime:
        errors.required("series.lastObservedTime")


FROZEN = {
    "involvedObject": "involvedObject",
    "reason": "reason",
    "message": "message",
    "source": "source",
    "firstTimestamp": "firstTimestamp",
    "lastTimestamp": "lastTimestamp",
    "count": "count",
    "type": "type",
    "eventTime": "eventTime",
    "action": "action",
    "related": "related",
    "reportingComponent": "reportingController",
    "reportingInstance": "reportingInstance",
}


def validate_strict_update(new: Any, old: Any, errors: Errors) -> None:
    """In events.k8s.io only the series of a stored event may go on."""
    if new.series != old.series:
        validate_series(new.series, errors)
    for field, shown in FROZEN.items():
        validate_immutable(errors, Path(shown), getattr(new, field) or None, getattr(old, field) or None)


def selectable_fields() -> dict[str, Any]:
    """Field selectors of events, by the names of the core API."""

    def of_object(field: str) -> Any:
        return lambda obj: getattr(obj.involvedObject, field) or ""

    fields = {f"involvedObject.{f}": of_object(f) for f in OBJECT_FIELDS}
    return fields | {
        "reason": lambda obj: obj.reason or "",
        "reportingComponent": lambda obj: obj.reportingComponent or "",
        "source": lambda obj: obj.source.component or obj.reportingComponent or "",
        "type": lambda obj: obj.type or "",
    }


OBJECT_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def row(obj: Any, now: float) -> list[Any]:
    first = age(obj.firstTimestamp or obj.eventTime, now)
    last, count = age(obj.lastTimestamp, now) if obj.lastTimestamp else first, obj.count or 1
    if obj.series is not None:
        last, count = age(obj.series.lastObservedTime, now), obj.series.count or 0
    about = obj.involvedObject
    target = (about.kind or "").lower() + (f"/{about.name}" if about.name else "")
    source = ", ".join(s for s in (obj.source.component or obj.reportingComponent, obj.source.host) if s)
    return [
        last,
        obj.type or "",
        obj.reason or "",
        target,
        about.fieldPath or "",
        source,
        (obj.message or "").strip(),
        first,
        count,
        obj.metadata.name,
    ]


COLUMNS = (
    Column("Last Seen", field="Event.lastTimestamp"),
    Column("Type", field="Event.type"),
    Column("Reason", field="Event.reason"),
    Column("Object", field="Event.involvedObject"),
    Column("Subobject", priority=1, field="ObjectReference.fieldPath"),
    Column("Source", priority=1, field="Event.source"),
    Column("Message", field="Event.message"),
    Column("First Seen", priority=1, field="Event.firstTimestamp"),
    Column("Count", priority=1, field="Event.count"),
    Column("Name", format="name", priority=1, field="ObjectMeta.name"),
)

KIND = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    namespaced=True,
    short_names=("ev",),
    validate=validate,
    name_errors=names.name_path_segment,
    selectable=selectable_fields(),
    columns=COLUMNS,
    row=row,
    allow_create_on_update=True,
)
