"""Which requests a webhook or an admission policy is asked about: rules, selectors, conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import cel
from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation.selectors import validate_label_selector

__all__ = [
    "FAILURE_POLICIES",
    "MATCH_POLICIES",
    "REINVOCATION_POLICIES",
    "REQUEST_VARIABLES",
    "default_match",
    "default_rules",
    "validate_conditions",
    "validate_match",
    "validate_rule",
]

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
CONDITIONS_MAX = 64
REQUEST_VARIABLES = ("object", "oldObject", "request", "namespaceObject", "authorizer")
"""What an expression about a request may use."""


def default_rules(rules: Sequence[Any] | None) -> None:
    """Rules hold in any scope unless told."""
    for rule in rules or ():
        if rule.scope is None:
            rule.scope = "*"


def default_match(match: Any) -> None:
    """Selectors that are left out choose everything."""
    from kybern.api.meta import LabelSelector

    if match.matchPolicy is None:
        match.matchPolicy = "Equivalent"
    for field in ("namespaceSelector", "objectSelector"):
        if getattr(match, field) is None:
            setattr(match, field, LabelSelector())


def _validate_wildcard(values: Sequence[str], errors: Errors, path: Path, what: str) -> None:
    if len(values) > 1 and "*" in values:
        errors.invalid(path, list(values), f"if '*' is present, must not specify other {what}")


def validate_rule(rule: Any, errors: Errors, path: Path) -> None:
    """Operations on resources of API groups and versions."""
    at = path.child("operations")
    if not rule.operations:
        errors.required(at)
    _validate_wildcard(rule.operations or (), errors, at, "operations")
    for i, operation in enumerate(rule.operations or ()):
        if operation not in OPERATIONS:
            errors.not_supported(at.index(i), operation, OPERATIONS)
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = getattr(rule, field) or ()
        if not values:
            errors.required(path.child(field))
        _validate_wildcard(values, errors, path.child(field), what)
    for i, version in enumerate(rule.apiVersions or ()):
        if not version:
            errors.required(path.child("apiVersions").index(i))
    _validate_resources(rule.resources or [], errors, path.child("resources"))
    if rule.scope is not None and rule.scope not in SCOPES:
        errors.not_supported(path.child("scope"), rule.scope, SCOPES)


def _validate_resources(resources: list[str], errors: Errors, path: Path) -> None:
    if not resources:
        errors.required(path)
    all_of: set[str] = set()
    everywhere: set[str] = set()
    for i, resource in enumerate(resources):
        if not resource:
            errors.required(path.index(i))
        name, slash, sub = resource.partition("/")
        if not slash:
            continue
        if name in all_of:
            errors.invalid(path.index(i), resource, f"if '{name}/*' is present, must not specify {resource}")
        if sub in everywhere:
            errors.invalid(path.index(i), resource, f"if '*/{sub}' is present, must not specify {resource}")
        all_of |= {name} if sub == "*" else set()
        everywhere |= {sub} if name == "*" else set()
    if len(resources) > 1 and "*/*" in resources:
        errors.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and any(r and "/" not in r and r != "*" for r in resources):
        text = "if '*' is present, must not specify other resources without subresources"
        errors.invalid(path, resources, text)


def validate_match(match: Any, errors: Errors, path: Path) -> None:
    """MatchResources of a policy or of its binding."""
    if match.matchPolicy is None:
        errors.required(path.child("matchPolicy"))
    elif match.matchPolicy not in MATCH_POLICIES:
        errors.not_supported(path.child("matchPolicy"), match.matchPolicy, MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        selector = getattr(match, field)
        if selector is None:
            errors.required(path.child(field))
        validate_label_selector(errors, path.child(field), selector)
    for field in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(getattr(match, field) or ()):
            _validate_named_rule(rule, errors, path.child(field).index(i))


def _validate_named_rule(rule: Any, errors: Errors, path: Path) -> None:
    seen: set[str] = set()
    for i, name in enumerate(rule.resourceNames or ()):
        at = path.child("resourceNames").index(i)
        names.add_all(errors, at, name, names.path_segment(name))
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)
    validate_rule(rule, errors, path)


def validate_conditions(
    conditions: Sequence[Any] | None, errors: Errors, path: Path, variables: tuple[str, ...]
) -> None:
    """CEL expressions that must all hold, each with a unique name."""
    conditions = conditions or ()
    if len(conditions) > CONDITIONS_MAX:
        errors.too_many(path, len(conditions), CONDITIONS_MAX)
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        at = path.index(i)
        expression = condition.expression.strip()
        if not expression:
            errors.required(at.child("expression"))
        elif fault := cel.compile_fault(expression, variables):
            errors.invalid(at.child("expression"), expression, fault)
        if not condition.name:
            errors.required(at.child("name"))
            continue
        names.add_all(errors, at.child("name"), condition.name, names.qualified_name(condition.name))
        if condition.name in seen:
            errors.duplicate(at.child("name"), condition.name)
        seen.add(condition.name)
