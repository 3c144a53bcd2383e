"""Rules for the conditions of a status, as newer kinds share them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation.labels import validate_label_key

__all__ = ["validate_conditions"]

STATUSES = ("False", "True", "Unknown")
REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
REASON_MAX = 1024
MESSAGE_MAX = 32 * 1024
REASON_TEXT = names.mismatch(
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'",
    REASON,
    "my_name",
    "MY_NAME",
    "MyName",
    "ReasonA,ReasonB",
    "ReasonA:ReasonB",
)
_is_reason = re.compile(REASON).fullmatch


def validate_conditions(errors: Errors, path: Path, conditions: Sequence[Any] | None) -> None:
    """Each type once, every field filled in."""
    seen: set[str] = set()
    for i, condition in enumerate(conditions or ()):
        at = path.index(i)
        if condition.type in seen:
            errors.duplicate(at.child("type"), condition.type)
        seen.add(condition.type)
        _validate_condition(errors, at, condition)


def _validate_condition(errors: Errors, path: Path, condition: Any) -> None:
    validate_label_key(errors, path.child("type"), condition.type)
    if condition.status not in STATUSES:
        errors.not_supported(path.child("status"), condition.status, STATUSES)
    if (condition.observedGeneration or 0) < 0:
        text = "must be greater than or equal to zero"
        errors.invalid(path.child("observedGeneration"), condition.observedGeneration, text)
    if not condition.lastTransitionTime:
        errors.required(path.child("lastTransitionTime"), "must be set")
    reason, at = condition.reason, path.child("reason")
    if not reason:
        errors.required(at, "must be set")
    else:
        if not _is_reason(reason):
            errors.invalid(at, reason, REASON_TEXT)
        if len(reason.encode()) > REASON_MAX:
            errors.too_long(at, REASON_MAX)
    if len((condition.message or "").encode()) > MESSAGE_MAX:
        errors.too_long(path.child("message"), MESSAGE_MAX)
