"""PriorityClass: a name for a pod priority."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, WriteContext
from kybern.api.lifecycle import never_changed
from kybern.api.table import AGE, NAME, age
from kybern.api.validation.metadata import validate_immutable

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
POLICIES = ("PreemptLowerPriority", "Never")


def default(obj: Any) -> None:
    if obj.preemptionPolicy is None:
        obj.preemptionPolicy = POLICIES[0]


def prepare_create(obj: Any, context: WriteContext) -> None:
    obj.metadata.generation = 1


def validate(obj: Any, errors: Errors) -> None:
    name = obj.metadata.name or ""
    if name.startswith("system-"):
        if SYSTEM_CLASSES.get(name) != obj.value:
            errors.forbidden(
                "metadata.name", "priority class names with 'system-' prefix are reserved for system use only"
            )
    elif obj.value > HIGHEST_USER_PRIORITY:
        errors.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}")
    if obj.preemptionPolicy is not None and obj.preemptionPolicy not in POLICIES:
        errors.not_supported("preemptionPolicy", obj.preemptionPolicy, POLICIES)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    if new.value != old.value:
        errors.forbidden("value", "may not be changed in an update.")
    validate_immutable(errors, Path("preemptionPolicy"), new.preemptionPolicy, old.preemptionPolicy)


def row(obj: Any, now: float) -> list[Any]:
    created = age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, obj.value, bool(obj.globalDefault), created, obj.preemptionPolicy or ""]


KIND = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    namespaced=False,
    short_names=("pc",),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    spec_changed=never_changed,
    columns=(
        NAME,
        Column("Value", type="integer", field="PriorityClass.value"),
        Column("Global-Default", type="boolean", field="PriorityClass.globalDefault"),
        AGE,
        Column("PreemptionPolicy", field="PriorityClass.preemptionPolicy"),
    ),
    row=row,
)
