"""ConfigMap: settings as texts (`data`) and bytes (`binaryData`), for pods to mount or read."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names

DATA_MAX = 1024 * 1024
"""Bytes that the values of one ConfigMap or Secret may take together."""
IMMUTABLE = "field is immutable when `immutable` is set"


def validate(obj: Any, errors: Errors) -> None:
    data, binary = obj.data or {}, obj.binaryData or {}
    for key in data:
        path = Path("data").key(key)
        names.add_all(errors, path, key, names.config_map_key(key))
        if key in binary:
            errors.invalid(path, key, "duplicate of key present in binaryData")
    for key in binary:
        names.add_all(errors, Path("binaryData").key(key), key, names.config_map_key(key))
    size = sum(len(v.encode()) for v in data.values()) + sum(map(len, binary.values()))
    if size > DATA_MAX:
        errors.too_long("[]", DATA_MAX)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    if not old.immutable:
        return
    if not new.immutable:
        errors.forbidden("immutable", IMMUTABLE)
    for field in ("data", "binaryData"):
        if getattr(new, field) != getattr(old, field):
            errors.forbidden(field, IMMUTABLE)


def row(obj: Any, now: float) -> list[Any]:
    return [
        obj.metadata.name,
        str(len(obj.data or ()) + len(obj.binaryData or ())),
        age(obj.metadata.creationTimestamp, now),
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    namespaced=True,
    short_names=("cm",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Data", field="ConfigMap.data"), AGE),
    row=row,
)
