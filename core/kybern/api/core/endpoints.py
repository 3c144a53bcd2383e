"""Endpoints: all addresses behind a service in one object; EndpointSlice has taken its place."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, NONE, age
from kybern.api.validation import ip, names, ports

SHOWN = 3


def default(obj: Any) -> None:
    for subset in obj.subsets or ():
        for port in subset.ports or ():
            port.protocol = port.protocol or "TCP"


def validate(obj: Any, errors: Errors) -> None:
    for i, subset in enumerate(obj.subsets or ()):
        path = Path("subsets").index(i)
        if not subset.addresses and not subset.notReadyAddresses:
            errors.required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(getattr(subset, field) or ()):
                _validate_address(address, errors, path.child(field).index(j))
        for j, port in enumerate(subset.ports or ()):
            _validate_port(port, len(subset.ports) > 1, errors, path.child("ports").index(j))


def _validate_address(address: Any, errors: Errors, path: Path) -> None:
    names.add_all(errors, path.child("ip"), address.ip, ip.address_faults(address.ip))
    if address.hostname:
        names.add_all(errors, path.child("hostname"), address.hostname, names.dns1123_label(address.hostname))
    if address.nodeName is not None:
        names.add_all(errors, path.child("nodeName"), address.nodeName, names.dns1123_subdomain(address.nodeName))
    ip.validate_endpoint_address(errors, path.child("ip"), address.ip)


def _validate_port(port: Any, need_name: bool, errors: Errors, path: Path) -> None:
    if port.name:
        names.add_all(errors, path.child("name"), port.name, names.dns1123_label(port.name))
    elif need_name:
        errors.required(path.child("name"))
    ports.validate_port_number(errors, path.child("port"), port.port)
    ports.validate_protocol(errors, path.child("protocol"), port.protocol)
    if port.appProtocol is not None:
        names.add_all(errors, path.child("appProtocol"), port.appProtocol, names.qualified_name(port.appProtocol))


def warn(new: Any, old: Any | None) -> list[str]:
    return ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"]


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, _shown(obj.subsets or []), age(obj.metadata.creationTimestamp, now)]


def _shown(subsets: list[Any]) -> str:
    if not subsets:
        return NONE
    found = [point for subset in subsets for point in _points(subset)]
    shown = ",".join(found[:SHOWN])
    return f"{shown} + {len(found) - SHOWN} more..." if len(found) > SHOWN else shown


def _points(subset: Any) -> list[str]:
    addresses = [f"[{a.ip}]" if ":" in a.ip and subset.ports else a.ip for a in subset.addresses or ()]
    if not subset.ports:
        return addresses
    return [f"{address}:{port.port}" for port in subset.ports for address in addresses]


KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    namespaced=True,
    short_names=("ep",),
    default=default,
    validate=validate,
    warn=warn,
    columns=(NAME, Column("Endpoints", field="Endpoints.subsets"), AGE),
    row=row,
    allow_create_on_update=True,
)
