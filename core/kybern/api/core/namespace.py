"""Namespace: a scope for names. `spec.finalizers` hold it until everything in it is gone."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_standard_finalizer

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


def default(obj: Any) -> None:
    """Every namespace carries its name as a label, so that selectors can choose by name."""
    if obj.metadata.name:
        obj.metadata.labels = {**(obj.metadata.labels or {}), NAME_LABEL: obj.metadata.name}


def prepare_create(obj: Any, context: WriteContext) -> None:
    default(obj)
    obj.status = type(obj)().status
    obj.status.phase = "Active"
    finalizers = obj.spec.finalizers or []
    if FINALIZER not in finalizers:
        obj.spec.finalizers = [*finalizers, FINALIZER]


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    """`spec.finalizers` change only through `finalize`, the status only through `status`."""
    if context.subresource != "finalize":
        new.spec.finalizers = old.spec.finalizers
    if context.subresource != "status":
        new.status = old.status


def validate(obj: Any, errors: Errors) -> None:
    path = Path("spec").child("finalizers")
    for i, finalizer in enumerate(obj.spec.finalizers or ()):
        names.add_all(errors, path.index(i), finalizer, names.qualified_name(finalizer))
        validate_standard_finalizer(errors, path.index(i), finalizer)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    phase = new.status.phase or ""
    if new.metadata.deletionTimestamp:
        if phase != "Terminating":
            text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            errors.invalid("status.phase", phase, text)
    elif phase != "Active":
        errors.invalid("status.phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, obj.status.phase or "", age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", verbs=("update",)), Subresource("status")),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_status_update=validate_status_update,
    name_errors=names.name_dns_label,
    selectable={"name": lambda obj: obj.metadata.name or "", "status.phase": lambda obj: obj.status.phase or ""},
    columns=(NAME, Column("Status", description="The status of the namespace"), AGE),
    row=row,
)
