"""Rules for label selectors, node selectors and topology terms."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation.labels import validate_label_key, validate_labels

__all__ = [
    "validate_label_selector",
    "validate_node_selector",
    "validate_node_selector_term",
    "validate_topology_terms",
]

BAD_OPERATOR = "not a valid selector operator"
NEED_VALUES = "must be specified when `operator` is 'In' or 'NotIn'"
NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
ONE_NUMBER = "must be specified single value when `operator` is 'Lt' or 'Gt'"
ONE_FIELD_VALUE = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"


def validate_label_selector(errors: Errors, path: Path, selector: Any | None, *, check_values: bool = True) -> None:
    """A LabelSelector, when there is one. `check_values`: whether the values of expressions must be label values."""
    if selector is None:
        return
    validate_labels(errors, path.child("matchLabels"), selector.matchLabels)
    for i, requirement in enumerate(selector.matchExpressions or ()):
        _validate_requirement(errors, path.child("matchExpressions").index(i), requirement, check_values)


def _validate_requirement(errors: Errors, path: Path, requirement: Any, check_values: bool) -> None:
    values = requirement.values or []
    if requirement.operator in ("In", "NotIn"):
        if not values:
            errors.required(path.child("values"), NEED_VALUES)
    elif requirement.operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(path.child("values"), NO_VALUES)
    else:
        errors.invalid(path.child("operator"), requirement.operator, BAD_OPERATOR)
    validate_label_key(errors, path.child("key"), requirement.key)
    if check_values:
        _validate_values(errors, path.child("values"), values)


def _validate_values(errors: Errors, path: Path, values: list[str]) -> None:
    for i, value in enumerate(values):
        names.add_all(errors, path.index(i), value, names.label_value(value))


def validate_node_selector(errors: Errors, path: Path, selector: Any, *, check_values: bool = True) -> None:
    """A NodeSelector: at least one term, each of label and field expressions."""
    path = path.child("nodeSelectorTerms")
    if not selector.nodeSelectorTerms:
        errors.required(path, "must have at least one node selector term")
    for i, term in enumerate(selector.nodeSelectorTerms or ()):
        validate_node_selector_term(errors, path.index(i), term, check_values=check_values)


def validate_node_selector_term(errors: Errors, path: Path, term: Any, *, check_values: bool = True) -> None:
    """One NodeSelectorTerm."""
    for i, requirement in enumerate(term.matchExpressions or ()):
        _validate_node_requirement(errors, path.child("matchExpressions").index(i), requirement, check_values)
    for i, requirement in enumerate(term.matchFields or ()):
        _validate_field_requirement(errors, path.child("matchFields").index(i), requirement)


def _validate_node_requirement(errors: Errors, path: Path, requirement: Any, check_values: bool) -> None:
    values = requirement.values or []
    if requirement.operator in ("In", "NotIn"):
        if not values:
            errors.required(path.child("values"), NEED_VALUES)
    elif requirement.operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(path.child("values"), NO_VALUES)
    elif requirement.operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.required(path.child("values"), ONE_NUMBER)
    else:
        errors.invalid(path.child("operator"), requirement.operator, BAD_OPERATOR)
    validate_label_key(errors, path.child("key"), requirement.key)
    if check_values:
        _validate_values(errors, path.child("values"), values)


def _validate_field_requirement(errors: Errors, path: Path, requirement: Any) -> None:
    values = requirement.values or []
    if requirement.operator in ("In", "NotIn"):
        if len(values) != 1:
            errors.required(path.child("values"), ONE_FIELD_VALUE)
    else:
        errors.invalid(path.child("operator"), requirement.operator, BAD_OPERATOR)
    if requirement.key != "metadata.name":
        errors.invalid(path.child("key"), requirement.key, "not a valid field selector key")
        return
    for i, value in enumerate(values):
        names.add_all(errors, path.child("values").index(i), value, names.dns1123_subdomain(value))


def validate_topology_terms(errors: Errors, path: Path, terms: list[Any] | None) -> None:
    """TopologySelectorTerms of a StorageClass: keys and values unique, terms not repeated."""
    # A term without expressions is refused as if it had been there before.
    seen: list[dict[str, frozenset[str]]] = [{}]
    for i, term in enumerate(terms or ()):
        term_path = path.index(i).child("matchLabelExpressions")
        expressions = _validate_topology_term(errors, term_path, term)
        if expressions in seen:
            errors.duplicate(path.index(i).child("matchLabelExpressions"), "")
        seen.append(expressions)


def _validate_topology_term(errors: Errors, path: Path, term: Any) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for i, expression in enumerate(term.matchLabelExpressions or ()):
        at = path.index(i)
        values: set[str] = set()
        if not expression.values:
            errors.required(at.child("values"))
        for j, value in enumerate(expression.values or ()):
            if value in values:
                errors.duplicate(at.child("values").index(j), value)
            values.add(value)
        validate_label_key(errors, at.child("key"), expression.key)
        if expression.key in found:
            errors.duplicate(at.child("key"), expression.key)
        found[expression.key] = frozenset(values)
    return found
