"""EndpointSlice: some of the addresses behind a service, and which of them are ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, UNSET, age
from kybern.api.validation import ip, names, ports
from kybern.api.validation.metadata import validate_immutable

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
ADDRESSES_MAX = PORTS_MAX = 100
ENDPOINTS_MAX = 1000
HINTS_MAX = 8
SHOWN = 3


def default(obj: Any) -> None:
    for port in obj.ports or ():
        if port.name is None:
            port.name = ""
        if port.protocol is None:
            port.protocol = "TCP"


def changed(new: Any, old: Any) -> bool:
    """The generation counts everything but metadata, and labels."""
    fields = ("addressType", "endpoints", "ports")
    return new.metadata.labels != old.metadata.labels or any(getattr(new, f) != getattr(old, f) for f in fields)


def validate(obj: Any, errors: Errors) -> None:
    if not obj.addressType:
        errors.required("addressType")
    elif obj.addressType not in ADDRESS_TYPES:
        errors.not_supported("addressType", obj.addressType, ADDRESS_TYPES)
    endpoints = obj.endpoints or ()
    if len(endpoints) > ENDPOINTS_MAX:
        errors.too_many("endpoints", len(endpoints), ENDPOINTS_MAX)
    else:
        for i, endpoint in enumerate(endpoints):
            _validate_endpoint(endpoint, obj.addressType, errors, Path("endpoints").index(i))
    _validate_ports(obj.ports or (), errors, Path("ports"))


def _validate_endpoint(endpoint: Any, address_type: str, errors: Errors, path: Path) -> None:
    at = path.child("addresses")
    if not endpoint.addresses:
        errors.required(at, "must contain at least 1 address")
    elif len(endpoint.addresses) > ADDRESSES_MAX:
        errors.too_many(at, len(endpoint.addresses), ADDRESSES_MAX)
    for i, address in enumerate(endpoint.addresses or ()):
        _validate_address(address, address_type, errors, at.index(i))
    if endpoint.nodeName is not None:
        names.add_all(errors, path.child("nodeName"), endpoint.nodeName, names.dns1123_subdomain(endpoint.nodeName))
    if endpoint.hostname is not None:
        names.add_all(errors, path.child("hostname"), endpoint.hostname, names.dns1123_label(endpoint.hostname))
    if endpoint.hints is not None:
        _validate_hints(endpoint.hints.forZones, errors, path.child("hints", "forZones"), names.label_value)
        _validate_hints(endpoint.hints.forNodes, errors, path.child("hints", "forNodes"), names.dns1123_subdomain)


def _validate_address(address: str, address_type: str, errors: Errors, path: Path) -> None:
    if address_type == "FQDN":
        names.fully_qualified_domain_name(errors, path, address)
    elif address_type not in ADDRESS_TYPES:
        return
    elif faults := ip.address_faults(address):
        names.add_all(errors, path, address, faults)
    elif ip.family(address) != address_type:
        errors.invalid(path, address, f"must be an {address_type} address")
    else:
        ip.validate_endpoint_address(errors, path, address)


def _validate_hints(hints: Sequence[Any] | None, errors: Errors, path: Path, rule: Any) -> None:
    if len(hints or ()) > HINTS_MAX:
        errors.too_many(path, len(hints or ()), HINTS_MAX)
        return
    seen: set[str] = set()
    for i, hint in enumerate(hints or ()):
        at = path.index(i).child("name")
        if hint.name in seen:
            errors.duplicate(at, hint.name)
        seen.add(hint.name)
        names.add_all(errors, at, hint.name, rule(hint.name))


def _validate_ports(found: Sequence[Any], errors: Errors, path: Path) -> None:
    if len(found) > PORTS_MAX:
        errors.too_many(path, len(found), PORTS_MAX)
        return
    seen: set[str] = set()
    for i, port in enumerate(found):
        at, name = path.index(i), port.name or ""
        if name:
            names.add_all(errors, at.child("name"), name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)
        if port.protocol not in ports.PROTOCOLS:
            errors.not_supported(at.child("protocol"), port.protocol, ports.PROTOCOLS)
        if port.appProtocol is not None:
            names.add_all(errors, at.child("appProtocol"), port.appProtocol, names.qualified_name(port.appProtocol))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, Path("addressType"), new.addressType, old.addressType)


def row(obj: Any, now: float) -> list[Any]:
    numbers = [str(port.port) if port.port is not None else port.name or "*" for port in obj.ports or ()]
    addresses = [address for endpoint in obj.endpoints or () for address in endpoint.addresses or ()]
    created = age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, obj.addressType, _some(numbers), _some(addresses), created]


def _some(values: list[str]) -> str:
    shown = ",".join(values[:SHOWN]) or UNSET
    return f"{shown} + {len(values) - SHOWN} more..." if len(values) > SHOWN else shown


KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    namespaced=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    spec_changed=changed,
    columns=(
        NAME,
        Column("AddressType", field="EndpointSlice.addressType"),
        Column("Ports", field="EndpointSlice.ports"),
        Column("Endpoints", field="EndpointSlice.endpoints"),
        AGE,
    ),
    row=row,
)
