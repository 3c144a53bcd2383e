"""LimitRange: least, most and usual amounts of resources for single objects of a namespace."""

from __future__ import annotations

import uuid
from fractions import Fraction
from typing import Any

from kybern.api import quantity
from kybern.api.field import Errors, Path
from kybern.api.kind import Kind, WriteContext
from kybern.api.table import CREATED_AT, NAME, name_and_creation
from kybern.api.validation import names
from kybern.api.validation.resources import (
    is_hugepages,
    is_native,
    validate_container_resource_name,
    validate_resource_name,
)

TYPES = ("Pod", "Container", "PersistentVolumeClaim")
LIMITS = Path("spec").child("limits")


def default(obj: Any) -> None:
    for item in obj.spec.limits or ():
        if item.type == "Container":
            _default_container(item)


def _default_container(item: Any) -> None:
    """The usual limit is the most, the usual request the usual limit, or else the least."""
    limits = {**(item.max or {}), **(item.default or {})}
    requests = {**(item.min or {}), **limits, **(item.defaultRequest or {})}
    item.default, item.defaultRequest = limits or None, requests or None


def prepare_create(obj: Any, context: WriteContext) -> None:
    if not obj.metadata.name:
        obj.metadata.name = str(uuid.uuid4())


def validate(obj: Any, errors: Errors) -> None:
    seen: set[str] = set()
    for i, item in enumerate(obj.spec.limits or ()):
        path = LIMITS.index(i)
        _validate_type(item.type, errors, path.child("type"))
        if item.type in seen:
            errors.duplicate(path.child("type"), item.type)
        seen.add(item.type)
        _validate_names(item, errors, path)
        for name in dict.fromkeys(n for field in AMOUNTS for n in getattr(item, field) or ()):
            _validate_amounts(item, name, errors, path)


AMOUNTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _validate_type(value: str, errors: Errors, path: Path) -> None:
    if faults := names.qualified_name(value):
        names.add_all(errors, path, value, faults)
    elif "/" not in value and value not in TYPES:
        errors.invalid(path, value, "must be a standard limit type or fully qualified")


def _validate_names(item: Any, errors: Errors, path: Path) -> None:
    for field in AMOUNTS:
        amounts = getattr(item, field) or {}
        if item.type == "Pod" and field in ("default", "defaultRequest"):
            if amounts:
                errors.forbidden(path.child(field), "may not be specified when `type` is 'Pod'")
            continue
        if item.type == "PersistentVolumeClaim" and field == "maxLimitRequestRatio":
            _validate_claim(item, errors, path)
        rule = validate_container_resource_name if item.type in ("Pod", "Container") else validate_resource_name
        for name in amounts:
            rule(errors, path.child(field).key(name), name)


def _validate_claim(item: Any, errors: Errors, path: Path) -> None:
    if "storage" not in (item.min or {}) and "storage" not in (item.max or {}):
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.required(path.child("limits"), text)


def _validate_amounts(item: Any, name: str, errors: Errors, path: Path) -> None:
    least, most, limit, request, ratio = ((getattr(item, f) or {}).get(name) for f in ("min", "max", *AMOUNTS[2:]))
    if item.type == "Pod":
        limit = request = None

    def at_most(small: str | None, big: str | None, field: str, shown: str | None, words: tuple[str, str]) -> None:
        if small is not None and big is not None and quantity.parse(small) > quantity.parse(big):
            text = f"{words[0]} value {small} is greater than {words[1]} value {big}"
            errors.invalid(path.child(field).key(name), shown, text)

    at_most(least, most, "min", least, ("min", "max"))
    at_most(least, request, "defaultRequest", request, ("min", "default request"))
    at_most(request, most, "defaultRequest", request, ("default request", "max"))
    at_most(request, limit, "defaultRequest", request, ("default request", "default limit"))
    at_most(least, limit, "default", least, ("min", "default"))
    at_most(limit, most, "default", most, ("default", "max"))
    if ratio is not None:
        _validate_ratio(ratio, least, most, errors, path.child("maxLimitRequestRatio").key(name))
    overcommit = is_native(name) and not is_hugepages(name)
    if not overcommit and None not in (limit, request) and limit != request:
        text = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        errors.invalid(path.child("defaultRequest").key(name), request, text)


def _validate_ratio(ratio: str, least: str | None, most: str | None, errors: Errors, path: Path) -> None:
    if quantity.parse(ratio) < 1:
        errors.invalid(path, ratio, f"ratio {ratio} is less than 1")
    if least is None or most is None:
        return
    lowest, highest = quantity.parse(least), quantity.parse(most)
    widest = float(highest / lowest) if lowest else float("inf")
    if quantity.parse(ratio) > (Fraction(widest) if lowest else quantity.parse(ratio)):
        errors.invalid(path, ratio, f"ratio {ratio} is greater than max/min = {widest:f}")


KIND = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    namespaced=True,
    short_names=("limits",),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    columns=(NAME, CREATED_AT),
    row=name_and_creation,
    allow_create_on_update=True,
)
