"""ResourceClaim: asks for devices; the scheduler writes down which it got."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.resource import claims
from kybern.api.table import AGE, NAME, age
from kybern.api.validation.metadata import validate_immutable
from kybern.api.validation.selectors import validate_node_selector

RESERVED_MAX = 256
RESULTS_MAX = 32
STATUS = Path("status")


def default(obj: Any) -> None:
    claims.default_claim(obj.spec)


def validate(obj: Any, errors: Errors) -> None:
    if not obj.metadata.resourceVersion:
        claims.validate_claim(obj.spec, errors, Path("spec"))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, Path("spec"), new.spec, old.spec)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    status, stored, path = new.status, old.status, STATUS.child("reservedFor")
    for at, consumer in claims.each(errors, path, status.reservedFor, RESERVED_MAX, lambda c: c.uid):
        for field in ("resource", "name", "uid"):
            if not getattr(consumer, field):
                errors.required(at.child(field))
    if status.reservedFor and status.allocation is None:
        errors.forbidden(path, "may not be specified when `allocated` is not set")
    elif new.metadata.deletionTimestamp and [
        c for c in status.reservedFor or () if c not in (stored.reservedFor or ())
    ]:
        text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.forbidden(path, text)
    path = STATUS.child("allocation")
    if status.allocation is not None and stored.allocation is not None:
        validate_immutable(errors, path, status.allocation, stored.allocation)
    elif status.allocation is not None:
        _validate_allocation(status.allocation, claims.request_names(new.spec.devices), errors, path)


def _validate_allocation(allocation: Any, known: set[str], errors: Errors, path: Path) -> None:
    results = path.child("devices", "results")
    for at, result in claims.each(errors, results, allocation.devices.results, RESULTS_MAX):
        claims.validate_request_reference(result.request, known, errors, at.child("request"))
        for field in ("driver", "pool", "device"):
            if not getattr(result, field):
                errors.required(at.child(field))
    if allocation.nodeSelector is not None:
        validate_node_selector(errors, path.child("nodeSelector"), allocation.nodeSelector)


def row(obj: Any, now: float) -> list[Any]:
    states = ["deleted"] if obj.metadata.deletionTimestamp else []
    if obj.status.allocation is not None:
        states.append("allocated")
    elif not states:
        states.append("pending")
    if obj.status.reservedFor:
        states.append("reserved")
    return [obj.metadata.name, ",".join(states), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    namespaced=True,
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    columns=(
        NAME,
        Column("State", description="A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE,
    ),
    row=row,
)
