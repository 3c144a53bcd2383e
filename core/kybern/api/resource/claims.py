"""What claims and device classes ask for: requests, selectors in CEL, constraints, configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from kybern.api import cel
from kybern.api.core.volume_sources import validate_csi_driver_name
from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation.labels import validate_label_key
from kybern.api.validation.tolerations import EFFECTS

__all__ = [
    "default_claim",
    "each",
    "request_names",
    "validate_attribute_name",
    "validate_claim",
    "validate_config",
    "validate_pool_name",
    "validate_raw",
    "validate_request_reference",
    "validate_selectors",
]

MOST = 32
"""Requests, constraints, selectors or configurations of one claim or class."""
MOST_ALTERNATIVES = 8
MOST_TOLERATIONS = 16
POOL_NAME_MAX = 253
EXPRESSION_MAX = 10 * 1024
PARAMETERS_MAX = 10 * 1024
DOMAIN_MAX, IDENTIFIER_MAX = 63, 32
MODES = ("All", "ExactCount")
ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
NOT_A_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def default_claim(spec: Any) -> None:
    """One device of a class unless told."""
    for request in spec.devices.requests or ():
        asked = [request.exactly] if request.exactly is not None else list(request.firstAvailable or ())
        for item in asked:
            item.allocationMode = item.allocationMode or "ExactCount"
            if item.allocationMode == "ExactCount" and not item.count:
                item.count = 1
            for toleration in item.tolerations or ():
                toleration.operator = toleration.operator or "Equal"


def each(
    errors: Errors, path: Path, items: Sequence[Any] | None, limit: int, key: Any = None
) -> Iterator[tuple[Path, Any]]:
    """The items with their paths; says so when there are too many, or two with the same key."""
    items = items or ()
    if len(items) > limit:
        errors.too_many(path, len(items), limit)
    seen: list[Any] = []
    for i, item in enumerate(items):
        yield path.index(i), item
        if key is None:
            continue
        if key(item) in seen:
            errors.duplicate(path.index(i), key(item))
        seen.append(key(item))


def request_names(devices: Any) -> set[str]:
    """What constraints and results may refer to: `request`, `request/subrequest`."""
    found = set()
    for request in devices.requests or ():
        found.add(request.name)
        found |= {f"{request.name}/{sub.name}" for sub in request.firstAvailable or ()}
    return found


def validate_claim(spec: Any, errors: Errors, path: Path) -> None:
    """A ResourceClaimSpec, of its own or in a template."""
    devices, path = spec.devices, path.child("devices")
    known = request_names(devices)
    for at, request in each(errors, path.child("requests"), devices.requests, MOST, lambda r: r.name):
        _validate_request(request, errors, at)
    for at, constraint in each(errors, path.child("constraints"), devices.constraints, MOST):
        _validate_constraint(constraint, known, errors, at)
    for at, config in each(errors, path.child("config"), devices.config, MOST):
        _validate_references(config.requests, known, errors, at.child("requests"))
        validate_config(config, errors, at)


def _validate_request(request: Any, errors: Errors, path: Path) -> None:
    names.add_all(errors, path.child("name"), request.name, names.dns1123_label(request.name))
    if request.exactly is not None and request.firstAvailable:
        errors.invalid(path, None, f"{ONE_KIND}, but multiple fields are set")
    elif request.exactly is not None:
        _validate_devices(request.exactly, errors, path.child("exactly"))
    elif request.firstAvailable:
        alternatives = each(
            errors, path.child("firstAvailable"), request.firstAvailable, MOST_ALTERNATIVES, lambda r: r.name
        )
        for at, sub in alternatives:
            names.add_all(errors, at.child("name"), sub.name, names.dns1123_label(sub.name))
            _validate_devices(sub, errors, at)
    else:
        errors.required(path, ONE_KIND)


def _validate_devices(asked: Any, errors: Errors, path: Path) -> None:
    at = path.child("deviceClassName")
    if not asked.deviceClassName:
        errors.required(at)
    else:
        names.add_all(errors, at, asked.deviceClassName, names.dns1123_subdomain(asked.deviceClassName))
    validate_selectors(asked.selectors, errors, path.child("selectors"))
    mode, count = asked.allocationMode or "", asked.count or 0
    if mode not in MODES:
        errors.not_supported(path.child("allocationMode"), mode, MODES)
    elif mode == "All" and count:
        errors.invalid(path.child("count"), count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        errors.invalid(path.child("count"), count, "must be greater than zero")
    for name in asked.capacity.requests or () if asked.capacity is not None else ():
        validate_attribute_name(name, errors, path.child("capacity", "requests").key(name))
    for at, toleration in each(errors, path.child("tolerations"), asked.tolerations, MOST_TOLERATIONS):
        _validate_toleration(toleration, errors, at)


def _validate_toleration(toleration: Any, errors: Errors, path: Path) -> None:
    if toleration.key:
        validate_label_key(errors, path.child("key"), toleration.key)
    operator, value = toleration.operator or "", toleration.value or ""
    if operator == "Exists" and value:
        errors.invalid(path.child("value"), value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        names.add_all(errors, path.child("value"), value, names.label_value(value))
        if not toleration.key:
            errors.required(path.child("key"), "must not be empty for operator `Equal`")
    elif not operator:
        errors.required(path.child("operator"))
    elif operator != "Exists":
        errors.not_supported(path.child("operator"), operator, ("Equal", "Exists"))
    if toleration.effect and toleration.effect not in ("None", *EFFECTS):
        errors.not_supported(path.child("effect"), toleration.effect, ("NoExecute", "NoSchedule", "None"))


def validate_selectors(selectors: Sequence[Any] | None, errors: Errors, path: Path) -> None:
    """Expressions about one device that must all hold."""
    for at, selector in each(errors, path, selectors, MOST):
        if selector.cel is None:
            errors.required(at.child("cel"))
            continue
        expression, place = selector.cel.expression, at.child("cel", "expression")
        if len(expression.encode()) > EXPRESSION_MAX:
            errors.too_long(place, EXPRESSION_MAX)
        elif fault := cel.compile_fault(expression, ("device",)):
            errors.invalid(place, expression, fault)


def _validate_constraint(constraint: Any, known: set[str], errors: Errors, path: Path) -> None:
    _validate_references(constraint.requests, known, errors, path.child("requests"))
    if constraint.matchAttribute is None and constraint.distinctAttribute is None:
        text = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
        errors.required(path, text)
        return
    field = "matchAttribute" if constraint.matchAttribute is not None else "distinctAttribute"
    name, at = getattr(constraint, field), path.child(field)
    if name and "/" not in name:
        errors.invalid(at, name, "must include a domain")
    validate_attribute_name(name, errors, at)


def _validate_references(found: Sequence[str] | None, known: set[str], errors: Errors, path: Path) -> None:
    for at, name in each(errors, path, found, MOST, lambda n: n):
        validate_request_reference(name, known, errors, at)


def validate_request_reference(name: str, known: set[str], errors: Errors, path: Path) -> None:
    """`request` or `request/subrequest` of this claim."""
    parts = name.split("/")
    if len(parts) <= 2:
        for part in parts:
            names.add_all(errors, path, part, names.dns1123_label(part))
    if name not in known:
        errors.invalid(path, name, NOT_A_REQUEST)


def validate_config(config: Any, errors: Errors, path: Path) -> None:
    """Settings that only the driver understands."""
    if config.opaque is None:
        errors.required(path.child("opaque"))
        return
    path = path.child("opaque")
    validate_csi_driver_name(config.opaque.driver, errors, path.child("driver"))
    if config.opaque.parameters is None:
        errors.required(path.child("parameters"))
    else:
        validate_raw(config.opaque.parameters, errors, path.child("parameters"), "parameters")


def validate_raw(value: Any, errors: Errors, path: Path, name: str) -> None:
    """An object whose content only the driver knows, of a bounded size."""
    if not isinstance(value, dict):
        errors.invalid(path, "<value omitted>", f"{name} must be a valid JSON object")
    elif len(msgspec.json.encode(value)) > PARAMETERS_MAX:
        errors.too_long(path, PARAMETERS_MAX)


def validate_pool_name(name: str, errors: Errors, path: Path) -> None:
    """Subdomains with slashes between them."""
    if not name:
        errors.required(path)
        return
    if len(name) > POOL_NAME_MAX:
        errors.too_long(path, POOL_NAME_MAX)
    for part in name.split("/"):
        names.add_all(errors, path, part, names.dns1123_subdomain(part))


def validate_attribute_name(name: str, errors: Errors, path: Path) -> None:
    """The name of a device attribute or capacity: an identifier, with a domain when it is not the driver's."""
    if not name:
        errors.required(path, "name required")
        return
    parts = name.split("/")
    if len(parts) > 2:
        errors.invalid(path, name, "must be an identifier, or a domain and an identifier separated by '/'")
        return
    if len(parts) == 2:
        _validate_domain(parts[0], errors, path)
    identifier = parts[-1]
    if not identifier:
        errors.required(path, "the name must not be empty")
        return
    if len(identifier) > IDENTIFIER_MAX:
        errors.too_long(path, IDENTIFIER_MAX)
    names.add_all(errors, path, identifier, names.c_identifier(identifier))


def _validate_domain(domain: str, errors: Errors, path: Path) -> None:
    if not domain:
        errors.required(path, "the domain must not be empty")
        return
    if len(domain) > DOMAIN_MAX:
        errors.too_long(path, DOMAIN_MAX)
    names.add_all(errors, path, domain, names.dns1123_subdomain(domain))
