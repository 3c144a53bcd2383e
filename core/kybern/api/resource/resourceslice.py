"""ResourceSlice: devices that a driver offers on some nodes; several slices make a pool."""

from __future__ import annotations

from typing import Any

from kybern.api.core.volume_sources import validate_csi_driver_name
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, WriteContext
from kybern.api.lifecycle import spec_changed
from kybern.api.resource.claims import each, validate_pool_name
from kybern.api.resource.consumption import validate_counters
from kybern.api.resource.devices import most_devices, validate_device, validate_location
from kybern.api.table import AGE, NAME, age
from kybern.api.time import format_time
from kybern.api.validation.metadata import validate_immutable

COUNTER_SETS_MAX = 8
SPEC = Path("spec")
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


def prepare_create(obj: Any, context: WriteContext) -> None:
    for device in obj.spec.devices or ():
        for taint in device.taints or ():
            taint.timeAdded = taint.timeAdded or format_time(context.now)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    prepare_create(new, context)


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    validate_csi_driver_name(spec.driver, errors, SPEC.child("driver"))
    _validate_pool(spec.pool, errors, SPEC.child("pool"))
    given = validate_location(spec, errors, SPEC)
    if not given:
        errors.required(SPEC, ONE_PLACE)
    elif len(given) > 1:
        errors.invalid(SPEC, f"{{{', '.join(given)}}}", f"{ONE_PLACE}, but multiple fields are set")
    if spec.sharedCounters is not None and spec.devices is not None:
        errors.invalid(SPEC, "", "only one of `sharedCounters` or `devices` is allowed")
    for at, device in each(
        errors, SPEC.child("devices"), spec.devices, most_devices(spec.devices or ()), lambda d: d.name
    ):
        validate_device(device, bool(spec.perDeviceNodeSelection), errors, at)
    counters = each(errors, SPEC.child("sharedCounters"), spec.sharedCounters, COUNTER_SETS_MAX, lambda c: c.name)
    for at, counter_set in counters:
        validate_counters(counter_set.name, counter_set.counters, errors, at)


def _validate_pool(pool: Any, errors: Errors, path: Path) -> None:
    validate_pool_name(pool.name, errors, path.child("name"))
    if pool.resourceSliceCount <= 0:
        errors.invalid(path.child("resourceSliceCount"), pool.resourceSliceCount, "must be greater than zero")
    if pool.generation < 0:
        errors.invalid(path.child("generation"), pool.generation, "must be greater than or equal to zero")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    for field in ("driver", "nodeName"):
        validate_immutable(errors, SPEC.child(field), getattr(new.spec, field), getattr(old.spec, field))
    validate_immutable(errors, SPEC.child("pool", "name"), new.spec.pool.name, old.spec.pool.name)


def row(obj: Any, now: float) -> list[Any]:
    spec = obj.spec
    return [
        obj.metadata.name,
        spec.nodeName or "",
        spec.driver,
        spec.pool.name,
        age(obj.metadata.creationTimestamp, now),
    ]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    namespaced=False,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    spec_changed=spec_changed,
    selectable={
        "spec.nodeName": lambda obj: obj.spec.nodeName or "",
        "spec.driver": lambda obj: obj.spec.driver or "",
    },
    columns=(
        NAME,
        Column("Node", field="ResourceSliceSpec.nodeName"),
        Column("Driver", field="ResourceSliceSpec.driver"),
        Column("Pool", field="ResourcePool.name"),
        AGE,
    ),
    row=row,
)
