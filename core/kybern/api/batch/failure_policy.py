"""Checks a Job's podFailurePolicy and successPolicy: when the Job is over before its counts say so."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["count_indexes", "validate_failure_policy", "validate_success_policy"]

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
STATUSES = ("False", "True", "Unknown")
RULES_MAX = 20
CODES_MAX = 255
INDEXES_MAX = 64 * 1024


def _valid_values(values: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _chosen(errors: Errors, path: Path, value: str | None, values: tuple[str, ...]) -> None:
    if not value:
        errors.required(path, _valid_values(values))
    elif value not in values:
        errors.not_supported(path, value, values)


def validate_failure_policy(errors: Errors, path: Path, spec: Any) -> None:
    """`podFailurePolicy` of a JobSpec."""
    rules = spec.podFailurePolicy.rules or []
    if len(rules) > RULES_MAX:
        errors.too_many(path.child("rules"), len(rules), RULES_MAX)
        return
    for i, rule in enumerate(rules):
        _validate_rule(errors, path.child("rules").index(i), rule, spec)


def _validate_rule(errors: Errors, path: Path, rule: Any, spec: Any) -> None:
    if rule.action == "FailIndex" and spec.backoffLimitPerIndex is None:
        errors.invalid(path.child("action"), rule.action, "requires the backoffLimitPerIndex to be set")
    else:
        _chosen(errors, path.child("action"), rule.action, ACTIONS)
    codes, conditions = rule.onExitCodes, rule.onPodConditions or []
    if codes is not None:
        _validate_codes(errors, path.child("onExitCodes"), codes, spec.template.spec)
    if len(conditions) > RULES_MAX:
        errors.too_many(path.child("onPodConditions"), len(conditions), RULES_MAX)
    else:
        for i, pattern in enumerate(conditions):
            _validate_pattern(errors, path.child("onPodConditions").index(i), pattern)
    if codes is not None and conditions:
        errors.invalid_as_a_whole(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not conditions:
        errors.invalid_as_a_whole(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _validate_codes(errors: Errors, path: Path, codes: Any, pod: Any) -> None:
    _chosen(errors, path.child("operator"), codes.operator, OPERATORS)
    if codes.containerName is not None:
        known = {c.name for c in (*(pod.containers or ()), *(pod.initContainers or ()))}
        if codes.containerName not in known:
            text = "must be one of the container or initContainer names in the pod template"
            errors.invalid(path.child("containerName"), codes.containerName, text)
    values = codes.values or []
    at = path.child("values")
    if not values:
        errors.invalid(at, codes.values, "at least one value is required")
    elif len(values) > CODES_MAX:
        errors.too_many(at, len(values), CODES_MAX)
    seen: set[int] = set()
    for i, value in enumerate(values):
        if codes.operator == "In" and not value:
            errors.invalid(at.index(i), value, "must not be 0 for the In operator")
        if value in seen:
            errors.duplicate(at.index(i), value)
        seen.add(value)
    if values != sorted(values):
        errors.invalid(at, values, "must be ordered")


def _validate_pattern(errors: Errors, path: Path, pattern: Any) -> None:
    names.add_all(errors, path.child("type"), pattern.type, names.qualified_name(pattern.type))
    _chosen(errors, path.child("status"), pattern.status, STATUSES)


def validate_success_policy(errors: Errors, path: Path, spec: Any) -> None:
    """`successPolicy` of an indexed JobSpec."""
    rules = spec.successPolicy.rules or []
    if not rules:
        errors.required(path.child("rules"), "at least one rules must be specified in the successPolicy")
    elif len(rules) > RULES_MAX:
        errors.too_many(path.child("rules"), len(rules), RULES_MAX)
    for i, rule in enumerate(rules):
        _validate_success_rule(errors, path.child("rules").index(i), rule, spec.completions or 0)


def _validate_success_rule(errors: Errors, path: Path, rule: Any, completions: int) -> None:
    count, indexes, total = rule.succeededCount, rule.succeededIndexes, 0
    if count is None and indexes is None:
        errors.required(path, "at least one of succeededCount or succeededIndexes must be specified")
    if indexes is not None:
        if len(indexes) > INDEXES_MAX:
            errors.too_long(path.child("succeededIndexes"), INDEXES_MAX)
        try:
            total = count_indexes(indexes, completions)
        except ValueError as error:
            errors.invalid(path.child("succeededIndexes"), indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    at = path.child("succeededCount")
    if count < 0:
        errors.invalid(at, count, "must be greater than or equal to 0")
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        errors.invalid(at, count, text)
    elif indexes is not None and count > total:
        text = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        errors.invalid(at, count, text)


def count_indexes(text: str, completions: int) -> int:
    """How many indexes `1,3-5` names; ValueError when it is malformed, out of order or beyond the completions."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            text = "violates the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f'the fragment "{part}" {text}')
        try:
            low, high = int(ends[0]), int(ends[-1])
        except ValueError:
            raise ValueError(
                f'cannot convert string to integer for index: "{next(e for e in ends if not _is_number(e))}"'
            ) from None
        for end in (low, high):
            if end >= completions:
                raise ValueError(f'too large index: "{end}"')
        if low <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        if len(ends) == 2 and high <= low:
            raise ValueError(f"non-increasing order, previous: {low}, current: {high}")
        total, last = total + high - low + 1, high
    return total


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdigit()
