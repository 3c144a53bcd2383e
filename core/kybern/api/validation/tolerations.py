"""Rules for taints and for the tolerations that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.placement import is_decimal
from kybern.api.validation import names
from kybern.api.validation.labels import validate_label_key

__all__ = ["EFFECTS", "validate_effect", "validate_taints", "validate_tolerations"]

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
OPERATORS = ("Equal", "Exists")
"""The two that upstream names when it refuses another; comparing numbers (KEP-5471) is understood as well."""
NO_NUMBER = "must be a valid decimal integer in canonical form"
ALL_KEYS = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'


def validate_effect(errors: Errors, path: Path, effect: str | None, *, optional: bool) -> None:
    """What a taint does to pods that do not tolerate it."""
    if effect in EFFECTS or (optional and not effect):
        return
    if not effect:
        errors.required(path)
    else:
        errors.not_supported(path, effect, EFFECTS)


def validate_tolerations(errors: Errors, path: Path, tolerations: Sequence[Any] | None) -> None:
    """A list of Tolerations."""
    for i, toleration in enumerate(tolerations or ()):
        _validate_toleration(errors, path.index(i), toleration)


def _validate_toleration(errors: Errors, path: Path, toleration: Any) -> None:
    operator, value, effect = toleration.operator or "", toleration.value or "", toleration.effect or ""
    if toleration.key:
        validate_label_key(errors, path.child("key"), toleration.key)
    elif operator != "Exists":
        errors.invalid(path.child("operator"), operator, ALL_KEYS)
    if toleration.tolerationSeconds is not None and effect != "NoExecute":
        errors.invalid(path.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("", "Equal"):
        if faults := names.label_value(value):
            errors.invalid(path.child("operator"), value, ";".join(faults))
    elif operator in ("Gt", "Lt"):
        if not is_decimal(value):
            errors.invalid(path.child("value"), value, NO_NUMBER if value else "must be non-empty")
    elif operator != "Exists":
        errors.not_supported(path.child("operator"), operator, OPERATORS)
    elif value:
        errors.invalid(path.child("operator"), toleration, "value must be empty when `operator` is 'Exists'")
    validate_effect(errors, path.child("effect"), effect, optional=True)


def validate_taints(errors: Errors, path: Path, taints: Sequence[Any] | None) -> None:
    """A node's taints: no two of the same key and effect."""
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints or ()):
        at = path.index(i)
        validate_label_key(errors, at.child("key"), taint.key)
        if faults := names.label_value(taint.value or ""):
            errors.invalid(at.child("value"), taint.value, ";".join(faults))
        validate_effect(errors, at.child("effect"), taint.effect, optional=False)
        if (taint.key, taint.effect) in seen:
            errors.duplicate(at, taint)
        seen.add((taint.key, taint.effect))
