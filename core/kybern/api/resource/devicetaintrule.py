"""DeviceTaintRule: an administrator's taint for devices of whatever driver."""

from __future__ import annotations

from typing import Any

from kybern.api.core.volume_sources import validate_csi_driver_name
from kybern.api.field import Errors, Path
from kybern.api.kind import Kind, Subresource, WriteContext
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.resource.claims import validate_pool_name
from kybern.api.resource.devices import validate_taint
from kybern.api.table import AGE, NAME, name_and_age
from kybern.api.time import format_time
from kybern.api.validation import names
from kybern.api.validation.conditions import validate_conditions

CONDITIONS_MAX = 8
SPEC = Path("spec")


def prepare_create(obj: Any, context: WriteContext) -> None:
    drop_status(obj, context)
    obj.spec.taint.timeAdded = obj.spec.taint.timeAdded or format_time(context.now)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    keep_other_half(new, old, context)
    taint, before = new.spec.taint, old.spec.taint
    changed = taint.effect != before.effect and taint.timeAdded == before.timeAdded
    if changed or not taint.timeAdded:
        taint.timeAdded = format_time(context.now)


def validate(obj: Any, errors: Errors) -> None:
    selector = obj.spec.deviceSelector
    if selector is not None:
        _validate_selector(selector, errors, SPEC.child("deviceSelector"))
    validate_taint(obj.spec.taint, errors, SPEC.child("taint"))


def _validate_selector(selector: Any, errors: Errors, path: Path) -> None:
    if selector.driver is not None:
        validate_csi_driver_name(selector.driver, errors, path.child("driver"))
    if selector.pool is not None:
        validate_pool_name(selector.pool, errors, path.child("pool"))
    if selector.device is not None:
        names.add_all(errors, path.child("device"), selector.device, names.dns1123_label(selector.device))


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    path, conditions = Path("status").child("conditions"), new.status.conditions
    if len(conditions or ()) > CONDITIONS_MAX:
        errors.too_many(path, len(conditions), CONDITIONS_MAX)
    validate_conditions(errors, path, conditions)


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceTaintRule",
    plural="devicetaintrules",
    namespaced=False,
    subresources=(Subresource("status"),),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    columns=(NAME, AGE),
    row=name_and_age,
)
