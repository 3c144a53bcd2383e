"""Checks what a container, or a pod as a whole, asks for and is limited to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kybern.api import quantity
from kybern.api.core.podspec.context import PodContext
from kybern.api.core.podspec.totals import aggregate_requests
from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation import resources as rules

__all__ = ["validate_claims", "validate_pod_resources", "validate_resize_policy", "validate_resources"]

COMPUTE = ("cpu", "memory")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def validate_resources(errors: Errors, path: Path, wanted: Any, claims: frozenset[str] = frozenset()) -> None:
    """ResourceRequirements: names, amounts, and requests within limits."""
    limits, requests = wanted.limits or {}, wanted.requests or {}
    for name, amount in limits.items():
        _validate_amount(errors, path, "limits", name, amount)
    for name, amount in requests.items():
        _validate_amount(errors, path, "requests", name, amount)
        _validate_limit(errors, path, name, amount, limits)
    named = {*limits, *requests}
    if named and named.isdisjoint(COMPUTE) and any(map(rules.is_hugepages, named)):
        errors.forbidden(path, "HugePages require cpu or memory")
    if wanted.claims:
        _validate_claim_names(errors, path.child("claims"), wanted.claims, claims)


def _validate_amount(errors: Errors, path: Path, side: str, name: str, amount: str) -> None:
    if name in rules.CONTAINER and not amount.startswith("-"):
        return  # nearly always so
    path = path.child(side).key(name)
    rules.validate_container_resource_name(errors, path, name)
    rules.validate_quantity(errors, path, name, amount)
    if rules.is_hugepages(name):
        _validate_pages(errors, path, name, amount)


def _validate_pages(errors: Errors, path: Path, name: str, amount: str) -> None:
    try:
        size = quantity.parse(name.removeprefix(rules.HUGEPAGES))
    except ValueError as error:
        errors.invalid(path, amount, str(error))
        return
    if size <= 0 or quantity.parse(amount) % size:
        errors.invalid(path, amount, f"{amount} is not positive integer multiple of {name}")


def _validate_limit(errors: Errors, path: Path, name: str, amount: str, limits: Mapping[str, str]) -> None:
    limit = limits.get(name)
    if limit == amount:
        return
    overcommit = rules.is_native(name) and not rules.is_hugepages(name)
    if limit is None:
        if not overcommit:
            errors.required(path.child("limits"), "Limit must be set for non overcommitable resources")
    elif not overcommit and quantity.parse(amount) != quantity.parse(limit):
        errors.invalid(path.child("requests"), amount, f"must be equal to {name} limit of {limit}")
    elif quantity.parse(amount) > quantity.parse(limit):
        errors.invalid(path.child("requests"), amount, f"must be less than or equal to {name} limit of {limit}")


def _validate_claim_names(errors: Errors, path: Path, wanted: Sequence[Any] | None, claims: frozenset[str]) -> None:
    seen: set[tuple[str, str]] = set()
    for i, claim in enumerate(wanted or ()):
        at, key = path.index(i), (claim.name, claim.request or "")
        if not claim.name:
            errors.required(at)
            continue
        if key in seen or (claim.name, "") in seen:
            errors.duplicate(at, "/".join(filter(None, key)))
        elif not claim.request and any(name == claim.name for name, _ in seen):
            errors.duplicate(at, claim.name)
        else:
            seen.add(key)
        if claim.name not in claims:
            errors.not_found(at.child("name"), claim.name)


def validate_resize_policy(errors: Errors, path: Path, policies: Sequence[Any] | None, restart_policy: str) -> None:
    """Which resources may change without a restart."""
    seen: set[str] = set()
    for i, policy in enumerate(policies or ()):
        at = path.index(i)
        if policy.resourceName in seen:
            errors.duplicate(at, policy.resourceName)
        seen.add(policy.resourceName)
        if not policy.resourceName:
            errors.required(at)
        elif policy.resourceName not in COMPUTE:
            errors.not_supported(at, policy.resourceName, COMPUTE)
        if not policy.restartPolicy:
            errors.required(at)
        elif policy.restartPolicy not in RESIZE_POLICIES:
            errors.not_supported(at, policy.restartPolicy, RESIZE_POLICIES)
        if restart_policy == "Never" and policy.restartPolicy not in ("", "NotRequired"):
            errors.invalid(at, policy.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def validate_pod_resources(errors: Errors, path: Path, spec: Any, context: PodContext) -> None:
    """Resources of the pod as a whole (KEP-2837): only compute, no less than its containers want. `path`: the spec."""
    wanted, spec_path, path = spec.resources, path, path.child("resources")
    if wanted.claims:
        errors.forbidden(path.child("claims"), "claims not supported at pod-level")
    validate_resources(errors, path, wanted, context.claims)
    for side in ("limits", "requests"):
        for name in getattr(wanted, side) or {}:
            if name not in COMPUTE and not rules.is_hugepages(name):
                errors.not_supported(path.child(side).key(name), name, ("cpu", "hugepages-", "memory"))
    for name, amount in aggregate_requests(spec).items():
        given = (wanted.requests or {}).get(name)
        if given is not None and quantity.parse(amount) > quantity.parse(given):
            text = f"must be greater than or equal to aggregate container requests of {amount}"
            errors.invalid(path.child("requests").key(name), given, text)
    _validate_container_limits(errors, spec_path, spec)


def _validate_container_limits(errors: Errors, path: Path, spec: Any) -> None:
    for name, limit in (spec.resources.limits or {}).items():
        for field in ("containers", "initContainers"):
            for i, container in enumerate(getattr(spec, field) or ()):
                own = (container.resources.limits or {}).get(name)
                if own is not None and quantity.parse(own) > quantity.parse(limit):
                    at = path.child(field).index(i).child("resources", "limits").key(name)
                    errors.invalid(at, own, f"must be less than or equal to pod limits of {limit}")


def validate_claims(errors: Errors, path: Path, claims: Sequence[Any] | None) -> frozenset[str]:
    """The pod's resource claims; returns their names."""
    seen: set[str] = set()
    for i, claim in enumerate(claims or ()):
        at = path.index(i)
        if not claim.name:
            errors.required(at.child("name"))
        elif claim.name in seen:
            errors.duplicate(at.child("name"), claim.name)
        else:
            names.add_all(errors, at.child("name"), claim.name, names.dns1123_label(claim.name))
            seen.add(claim.name)
        _validate_claim_source(errors, at, claim)
    return frozenset(seen)


def _validate_claim_source(errors: Errors, path: Path, claim: Any) -> None:
    fields = ("resourceClaimName", "resourceClaimTemplateName")
    given = [field for field in fields if getattr(claim, field) is not None]
    if len(given) > 1:
        errors.invalid(
            path, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        )
    if not given:
        errors.invalid(path, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
    for field in given:
        value = getattr(claim, field)
        names.add_all(errors, path.child(field), value, names.dns1123_subdomain(value))
