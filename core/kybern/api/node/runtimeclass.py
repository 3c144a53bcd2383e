"""RuntimeClass: which container runtime runs a pod, what it costs, and where it is."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.labels import validate_labels
from kybern.api.validation.metadata import validate_immutable
from kybern.api.validation.resources import validate_container_resource_name, validate_quantity
from kybern.api.validation.tolerations import validate_tolerations


def validate(obj: Any, errors: Errors) -> None:
    _validate_handler(obj, errors)
    if obj.overhead is not None:
        for name, amount in (obj.overhead.podFixed or {}).items():
            path = Path("overhead").child("limits").key(name)
            validate_container_resource_name(errors, path, name)
            validate_quantity(errors, path, name, amount)
    if obj.scheduling is not None:
        _validate_scheduling(obj.scheduling, errors, Path("scheduling"))


def _validate_handler(obj: Any, errors: Errors) -> None:
    if not obj.handler:
        errors.required("handler")
    else:
        names.add_all(errors, "handler", obj.handler, names.dns1123_label(obj.handler))


def _validate_scheduling(scheduling: Any, errors: Errors, path: Path) -> None:
    validate_labels(errors, path.child("nodeSelector"), scheduling.nodeSelector)
    validate_tolerations(errors, path.child("tolerations"), scheduling.tolerations)
    seen: list[Any] = []
    for i, toleration in enumerate(scheduling.tolerations or ()):
        if toleration in seen:
            errors.duplicate(path.child("tolerations").index(i), toleration)
        seen.append(toleration)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, Path("handler"), new.handler, old.handler)


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, obj.handler, age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    namespaced=False,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Handler", field="RuntimeClass.handler"), AGE),
    row=row,
    unconditional_update=False,
)
