"""ControllerRevision: resource `controllerrevisions` of apps/v1, a past state of a StatefulSet or DaemonSet."""

from __future__ import annotations

from typing import Any

from kybern.api.core.podspec import workload
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, NONE, age


def validate(obj: Any, errors: Errors) -> None:
    """It has data, and a number."""
    if obj.data is None:
        errors.required(Path("data"), "data is mandatory")
    workload.not_negative(errors, Path(), obj, "revision")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """History does not change."""
    workload.validate_immutable(errors, Path("data"), new.data, old.data)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    return [obj.metadata.name, _controller(obj), str(obj.revision or 0), age(obj.metadata.creationTimestamp, now)]


def _controller(obj: Any) -> str:
    for reference in obj.metadata.ownerReferences or ():
        if reference.controller:
            group = reference.apiVersion.rpartition("/")[0]
            return f"{'.'.join(filter(None, (reference.kind.lower(), group)))}/{reference.name}"
    return NONE


KIND = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    namespaced=True,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Controller", description="Controller of the object"),
        Column("Revision", field="ControllerRevision.revision"),
        AGE,
    ),
    row=row,
)
