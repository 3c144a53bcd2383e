"""StorageVersionMigration: asks that every stored object of a resource be written again in today's version."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.table import AGE, NAME
from kybern.api.validation.conditions import validate_conditions
from kybern.api.validation.metadata import validate_immutable

STATUS = Path("status")
ENDS = (("Succeeded", "success"), ("Failed", "failed"))
"""The conditions with which a migration is over, and what messages call them."""


def validate(obj: Any, errors: Errors) -> None:
    if not obj.spec.resource.resource:
        errors.required(Path("spec").child("resource", "resource"), "resource is required")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    for field in ("group", "resource"):
        validate_immutable(errors, Path(field), getattr(new.spec.resource, field), getattr(old.spec.resource, field))


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    version, stored, at = new.status.resourceVersion or "", old.status.resourceVersion, STATUS.child("resourceVersion")
    if version and not version.isdecimal():
        errors.invalid(at, version, "resource version should be a non-negative integer")
    if stored:
        validate_immutable(errors, at, version, stored)
    at, conditions = STATUS.child("conditions"), new.status.conditions
    validate_conditions(errors, at, conditions)
    true, was = _true(new), _true(old)
    if {"Succeeded", "Failed"} <= true:
        errors.invalid(at, conditions, "Both success and failed conditions cannot be true at the same time")
    for type_, name in ENDS:
        if {type_, "Running"} <= true:
            errors.invalid(at, conditions, f"Running condition cannot be true when {name} condition is true")
        if type_ in was and type_ not in true:
            text = f"{name.capitalize()} condition cannot be set to false once it is true"
            errors.invalid(at, conditions, text)


def _true(obj: Any) -> set[str]:
    return {c.type for c in obj.status.conditions or () if c.status == "True"}


KIND = Kind(
    group="storagemigration.k8s.io",
    version="v1",
    kind="StorageVersionMigration",
    plural="storageversionmigrations",
    namespaced=False,
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    columns=(NAME, AGE),
)
