"""What of a device can be used up: counters that partitions share, capacities that requests take shares of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kybern.api import quantity
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["validate_capacity", "validate_counters"]

COUNTERS_MAX = 32
VALUES_MAX = 10
ONE_POLICY = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'


def validate_counters(
    named: str, counters: Mapping[str, Any] | None, errors: Errors, path: Path, field: str = "name"
) -> None:
    """A counter set, or what a device takes of one; `field` holds the set's name."""
    if not named:
        errors.required(path.child(field))
    else:
        names.add_all(errors, path.child(field), named, names.dns1123_label(named))
    path = path.child("counters")
    if not counters:
        errors.required(path)
    elif len(counters) > COUNTERS_MAX:
        errors.too_many(path, len(counters), COUNTERS_MAX)
        return
    for name in counters or ():
        names.add_all(errors, path if field != "name" else path.key(name), name, names.dns1123_label(name))


def validate_capacity(capacity: Any, shared: bool, errors: Errors, path: Path) -> None:
    """How requests may take shares of a capacity; only a device that is given to several may say."""
    policy, path = capacity.requestPolicy, path.child("requestPolicy")
    if policy is None:
        return
    if not shared:
        errors.forbidden(path, "allowMultipleAllocations must be true")
    elif policy.validValues and policy.validRange is not None:
        errors.forbidden(path, ONE_POLICY)
    elif policy.validValues or policy.validRange is not None:
        field = "validValues" if policy.validValues else "validRange"
        if policy.default is None:
            errors.required(path.child("default"), f"required when {field} is defined")
        elif policy.validValues:
            _validate_values(policy, capacity.value, errors, path.child(field))
        else:
            _validate_range(policy, capacity.value, errors, path.child(field))


def _validate_values(policy: Any, whole: str, errors: Errors, path: Path) -> None:
    values = [quantity.parse(value) for value in policy.validValues]
    for i in range(1, len(values)):
        if values[i - 1] > values[i]:
            errors.invalid(path.index(i), policy.validValues[i], "values must be sorted in ascending order")
    if len(values) > VALUES_MAX:
        errors.too_many(path, len(values), VALUES_MAX)
        return
    for i, value in enumerate(values):
        if value > quantity.parse(whole):
            errors.invalid(path.index(i), policy.validValues[i], f"option is larger than capacity value: {whole}")
        if value in values[:i]:
            errors.duplicate(path.index(i), policy.validValues[i])
    if quantity.parse(policy.default) not in values:
        errors.invalid(path, policy.default, "default value is not valid according to the requestPolicy")


def _validate_range(policy: Any, whole: str, errors: Errors, path: Path) -> None:
    allowed, default = policy.validRange, quantity.parse(policy.default)
    least = quantity.parse(allowed.min)
    if least > quantity.parse(whole):
        errors.invalid(path.child("min"), allowed.min, f"min is larger than capacity value: {whole}")
    if default < least:
        errors.invalid(path.child("default"), policy.default, f"default is less than min: {allowed.min}")
    if allowed.max is not None:
        at, most = path.child("max"), quantity.parse(allowed.max)
        if least > most:
            errors.invalid(at, allowed.min, f"min is larger than max: {allowed.max}")
        if most > quantity.parse(whole):
            errors.invalid(at, allowed.max, f"max is larger than capacity value: {whole}")
        if default > most:
            errors.invalid(path.child("default"), policy.default, f"default is more than max: {allowed.max}")
    if allowed.step is not None:
        _validate_step(policy, whole, errors, path.child("step"))


def _validate_step(policy: Any, whole: str, errors: Errors, path: Path) -> None:
    allowed = policy.validRange
    step, least = quantity.parse(allowed.step), quantity.parse(allowed.min)
    if step <= 0:
        errors.invalid(path, allowed.step, "must be greater than zero")
        return
    if least + step > quantity.parse(whole):
        form = "BinarySI" if allowed.min.endswith("i") else "DecimalSI"
        text = f"one step {quantity.format(least + step, form)} is larger than capacity value: {whole}"
        errors.invalid(path, allowed.step, text)
    for value in (policy.default, allowed.max):
        if value is not None and (quantity.parse(value) - least) % step:
            text = f"value is not a multiple of a given step ({allowed.step}) from ({allowed.min})"
            errors.invalid(path, value, text)
