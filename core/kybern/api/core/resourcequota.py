"""ResourceQuota: how much a namespace may use in total."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.table import AGE, NAME, age
from kybern.api.validation.metadata import IMMUTABLE
from kybern.api.validation.resources import QUOTA, validate_quantity, validate_quota_resource_name

COMPUTE = frozenset({"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
OF_PODS = COMPUTE | {"pods"}
OF_CLAIMS = frozenset({"persistentvolumeclaims", "requests.storage"})
SCOPES: dict[str, frozenset[str]] = {
    "Terminating": OF_PODS,
    "NotTerminating": OF_PODS,
    "BestEffort": frozenset({"pods"}),
    "NotBestEffort": OF_PODS,
    "PriorityClass": OF_PODS,
    "CrossNamespacePodAffinity": OF_PODS,
    "VolumeAttributesClass": OF_CLAIMS,
}
"""Scope -> the standard resources it can narrow."""
CONTRARY = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
EXISTS_ONLY = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
EXISTS_TEXT = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
SPEC = Path("spec")


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    _validate_amounts(spec.hard, errors, SPEC.child("hard"))
    _validate_scopes(spec, errors, SPEC.child("scopes"))
    if spec.scopeSelector is not None:
        _validate_selector(spec, errors, SPEC.child("scopeSelector", "matchExpressions"))
    for field in ("hard", "used"):
        _validate_amounts(getattr(obj.status, field), errors, Path("status").child(field))


def _validate_amounts(amounts: dict[str, str] | None, errors: Errors, path: Path) -> None:
    for name, amount in (amounts or {}).items():
        validate_quota_resource_name(errors, path.key(name), name)
        validate_quantity(errors, path.key(name), name, amount)


def _misapplied(scope: str, hard: Iterable[str]) -> list[str]:
    fitting = SCOPES.get(scope, frozenset())
    return [name for name in hard if name in QUOTA and name not in fitting]


def _validate_scopes(spec: Any, errors: Errors, path: Path) -> None:
    scopes = spec.scopes or []
    for scope in scopes:
        if scope not in SCOPES:
            errors.invalid(path, scopes, "unsupported scope")
        for _ in _misapplied(scope, spec.hard or ()) if scope in SCOPES else ():
            errors.invalid(path, scopes, "unsupported scope applied to resource")
    _validate_contrary(set(scopes), scopes, errors, path)


def _validate_contrary(found: set[str], shown: Any, errors: Errors, path: Path) -> None:
    for pair in CONTRARY:
        if pair <= found:
            errors.invalid(path, shown, "conflicting scopes")


def _validate_selector(spec: Any, errors: Errors, path: Path) -> None:
    found = set()
    for requirement in spec.scopeSelector.matchExpressions or ():
        scope = requirement.scopeName
        if scope not in SCOPES:
            errors.invalid(path.child("scopeName"), scope, "unsupported scope")
        for _ in _misapplied(scope, spec.hard or ()) if scope in SCOPES else ():
            errors.invalid(path, spec.scopeSelector, "unsupported scope applied to resource")
        if scope in EXISTS_ONLY and requirement.operator != "Exists":
            errors.invalid(path.child("operator"), requirement.operator, EXISTS_TEXT)
        _validate_operator(requirement, errors, path)
        found.add(scope)
    _validate_contrary(found, spec.scopes or [], errors, path)


def _validate_operator(requirement: Any, errors: Errors, path: Path) -> None:
    operator, values = requirement.operator, requirement.values or []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errors.required(path.child("values"), text)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
            errors.invalid(path.child("values"), values, text)
    else:
        errors.invalid(path.child("operator"), operator, "not a valid selector operator")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    if set(new.spec.scopes or ()) != set(old.spec.scopes or ()):
        errors.invalid(SPEC.child("scopes"), new.spec.scopes, IMMUTABLE)


def row(obj: Any, now: float) -> list[Any]:
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(obj.status.hard or ()):
        used = (obj.status.used or {}).get(name, "0")
        column = limits if name.startswith("limits.") else requests
        column.append(f"{name}: {used}/{obj.status.hard[name]}")
    return [obj.metadata.name, ", ".join(requests), ", ".join(limits), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    namespaced=True,
    short_names=("quota",),
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column(
            "Request", description="Request represents a minimum amount of cpu/memory that a container may consume."
        ),
        Column("Limit", description="Limits control the maximum amount of cpu/memory that a container may use."),
        AGE,
    ),
    row=row,
)
