"""Admission policies in CEL: defaults and rules that validating and mutating policies and bindings share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import cel
from kybern.api.admissionregistration import matching
from kybern.api.field import Errors, Path
from kybern.api.kind import Column
from kybern.api.table import AGE, NAME, UNSET, age, selector
from kybern.api.validation import names
from kybern.api.validation.selectors import validate_label_selector

__all__ = [
    "BINDING_COLUMNS",
    "SPEC",
    "binding_row",
    "default",
    "default_binding",
    "param_kind",
    "validate_binding",
    "validate_expression",
    "validate_head",
    "variables_of",
]

SPEC = Path("spec")
NOT_FOUND_ACTIONS = ("Deny", "Allow")
EXCLUSIVE = "name and selector are mutually exclusive"
BINDING_COLUMNS = (
    NAME,
    Column("PolicyName", description="PolicyName indicates the policy definition which the policy binding binded to"),
    Column("ParamRef", description="ParamRef indicates the param resource which sets the configration param"),
    AGE,
)


def default(obj: Any) -> None:
    """What a policy leaves out."""
    spec = obj.spec
    if spec.failurePolicy is None:
        spec.failurePolicy = "Fail"
    if spec.matchConstraints is not None:
        _default_match(spec.matchConstraints)


def default_binding(obj: Any) -> None:
    """What a binding leaves out."""
    if obj.spec.matchResources is not None:
        _default_match(obj.spec.matchResources)


def _default_match(match: Any) -> None:
    matching.default_match(match)
    matching.default_rules(match.resourceRules)
    matching.default_rules(match.excludeResourceRules)


def variables_of(spec: Any) -> tuple[str, ...]:
    """What the policy's expressions may use."""
    params = ("params",) if spec.paramKind is not None else ()
    return (*matching.REQUEST_VARIABLES, *params, *(("variables",) if spec.variables else ()))


def validate_head(spec: Any, errors: Errors) -> None:
    """The part of a policy that says what it is about: parameters, matches, variables."""
    if spec.failurePolicy is None:
        errors.required(SPEC.child("failurePolicy"))
    elif spec.failurePolicy not in matching.FAILURE_POLICIES:
        errors.not_supported(SPEC.child("failurePolicy"), spec.failurePolicy, matching.FAILURE_POLICIES)
    if spec.paramKind is not None:
        _validate_param_kind(spec.paramKind, errors, SPEC.child("paramKind"))
    path = SPEC.child("matchConstraints")
    if spec.matchConstraints is None:
        errors.required(path)
    else:
        matching.validate_match(spec.matchConstraints, errors, path)
        if not spec.matchConstraints.resourceRules:
            errors.required(path.child("resourceRules"))
    params = ("params",) if spec.paramKind is not None else ()
    usable = (*matching.REQUEST_VARIABLES, *params)
    matching.validate_conditions(spec.matchConditions, errors, SPEC.child("matchConditions"), usable)
    for i, variable in enumerate(spec.variables or ()):
        _validate_variable(variable, variables_of(spec), errors, SPEC.child("variables").index(i))


def _validate_param_kind(kind: Any, errors: Errors, path: Path) -> None:
    at, version = path.child("apiVersion"), kind.apiVersion or ""
    if not version:
        errors.required(at)
    elif version.count("/") > 1:
        errors.invalid(at, version, f"unexpected GroupVersion string: {version}")
    else:
        _validate_group_version(version, errors, at)
    if not kind.kind:
        errors.required(path.child("kind"))
    elif faults := names.dns1035_label(kind.kind.lower()):
        text = f"may have mixed case, but should otherwise match: {','.join(faults)}"
        errors.invalid(path.child("kind"), kind.kind, text)


def _validate_group_version(text: str, errors: Errors, path: Path) -> None:
    group, _, version = text.rpartition("/")
    if group and (faults := names.dns1123_subdomain(group)):
        errors.invalid(path, group, ",".join(faults))
    if not version:
        errors.invalid(path, text, "version must be specified")
    elif faults := names.dns1035_label(version):
        errors.invalid(path, version, ",".join(faults))


def _validate_variable(variable: Any, usable: tuple[str, ...], errors: Errors, path: Path) -> None:
    if not variable.name.strip():
        errors.required(path.child("name"), "name is not specified")
    elif not cel.is_identifier(variable.name):
        errors.invalid(path.child("name"), variable.name, "name is not a valid CEL identifier")
    validate_expression(variable.expression, usable, (), errors, path.child("expression"))


def validate_expression(
    expression: str | None, usable: tuple[str, ...], results: tuple[str, ...], errors: Errors, path: Path
) -> None:
    """An expression that must be there and compile."""
    if not (expression or "").strip():
        errors.required(path, f"{str(path).rpartition('.')[2]} is not specified")
    elif fault := cel.compile_fault(expression or "", usable, results):
        errors.invalid(path, expression, fault)


def validate_binding(spec: Any, errors: Errors) -> None:
    """The part of a binding that both kinds have: policy, parameters, matches."""
    if not spec.policyName:
        errors.required(SPEC.child("policyName"))
    else:
        names.add_all(errors, SPEC.child("policyName"), spec.policyName, names.dns1123_subdomain(spec.policyName))
    if spec.paramRef is not None:
        _validate_param_ref(spec.paramRef, errors, SPEC.child("paramRef"))
    if spec.matchResources is not None:
        matching.validate_match(spec.matchResources, errors, SPEC.child("matchResources"))


def _validate_param_ref(ref: Any, errors: Errors, path: Path) -> None:
    if ref.name:
        names.add_all(errors, path.child("name"), ref.name, names.path_segment(ref.name))
        if ref.selector is not None:
            errors.forbidden(path.child("name"), EXCLUSIVE)
    validate_label_selector(errors, path.child("selector"), ref.selector)
    if ref.selector is not None and ref.name:
        errors.forbidden(path.child("selector"), EXCLUSIVE)
    if not ref.name and ref.selector is None:
        errors.required(path, "one of name or selector must be specified")
    at = path.child("parameterNotFoundAction")
    if not ref.parameterNotFoundAction:
        errors.required(at)
    elif ref.parameterNotFoundAction not in NOT_FOUND_ACTIONS:
        errors.not_supported(at, ref.parameterNotFoundAction, NOT_FOUND_ACTIONS)


def param_kind(spec: Any) -> str:
    """The kind of a policy's parameters, in a table."""
    return UNSET if spec.paramKind is None else f"{spec.paramKind.apiVersion or ''}/{spec.paramKind.kind or ''}"


def binding_row(obj: Any, now: float) -> list[Any]:
    """Table cells of a binding."""
    created = age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, obj.spec.policyName or "", _param_ref(obj.spec.paramRef), created]


def _param_ref(ref: Any) -> str:
    if ref is None:
        return UNSET
    named: Sequence[str] = [part for part in (ref.namespace, ref.name) if part]
    return "/".join(named) if ref.name else selector(ref.selector)
