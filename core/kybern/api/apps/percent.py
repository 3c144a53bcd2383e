"""Rules for values that are a number or a percentage: how many pods may be missing, or come on top."""

from __future__ import annotations

import re
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["amount", "at_most_all", "shown_strategy", "validate_amount"]

_percent = re.compile("[0-9]+%").fullmatch
PERCENT_TEXT = names.mismatch(
    "a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", "1%", "93%"
)


def validate_amount(errors: Errors, path: Path, value: int | str | None) -> None:
    """A number from zero up, or a percentage."""
    if isinstance(value, str):
        if not _percent(value):
            errors.invalid(path, value, PERCENT_TEXT)
    elif value is not None and value < 0:
        errors.invalid(path, value, "must be greater than or equal to 0")


def amount(value: int | str | None) -> int:
    """The number before the percent sign, or the number; 0 for what is neither."""
    if isinstance(value, str):
        return int(value[:-1]) if _percent(value) else 0
    return value or 0


def at_most_all(errors: Errors, path: Path, value: int | str | None) -> None:
    """A percentage of at most 100."""
    if isinstance(value, str) and amount(value) > 100:
        errors.invalid(path, value, "must not be greater than 100%")


def shown_strategy(strategy: Any) -> dict[str, Any]:
    """The update strategy of a Deployment or DaemonSet as error messages have always shown it: by Go names."""
    rolling = strategy.rollingUpdate
    limits = (
        None if rolling is None else {"MaxUnavailable": rolling.maxUnavailable or 0, "MaxSurge": rolling.maxSurge or 0}
    )
    return {"Type": strategy.type, "RollingUpdate": limits}
