"""VolumeAttributesClass: settings of volumes that may change while they live."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.storage.rules import validate_parameters, validate_provisioner
from kybern.api.table import AGE, NAME, age


def validate(obj: Any, errors: Errors) -> None:
    validate_provisioner(obj.driverName, errors, Path("driverName"))
    validate_parameters(obj.parameters, errors, Path("parameters"), needed=True)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    for field in ("driverName", "parameters"):
        if getattr(new, field) != getattr(old, field):
            errors.forbidden(field, f"updates to {field} are forbidden.")


def row(obj: Any, now: float) -> list[Any]:
    mark = ""
    if (obj.metadata.annotations or {}).get("volumeattributesclass.kubernetes.io/is-default-class") == "true":
        mark = " (default)"
    return [obj.metadata.name + mark, obj.driverName, age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    namespaced=False,
    short_names=("vac",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("DriverName", field="VolumeAttributesClass.driverName"), AGE),
    row=row,
)
