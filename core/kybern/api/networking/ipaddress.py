"""IPAddress: one address of a ServiceCIDR that is taken, and by what. The name is the address."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import NAME
from kybern.api.validation import ip, names
from kybern.api.validation.metadata import validate_immutable

PARENT = Path("spec").child("parentRef")


def name_errors(name: str, prefix: bool) -> list[str]:
    """An address in its normal spelling."""
    address = ip.parse_address(name)
    if address is None:
        return [ip.ADDRESS_TEXT]
    return [] if str(address) == name else [f'must be in canonical form ("{address}")']


def validate(obj: Any, errors: Errors) -> None:
    parent = obj.spec.parentRef
    if parent is None:
        errors.required(PARENT)
        return
    if parent.group:
        names.add_all(errors, PARENT.child("group"), parent.group, names.dns1123_subdomain(parent.group))
    for field in ("resource", "name", "namespace"):
        value = getattr(parent, field)
        if value:
            names.add_all(errors, PARENT.child(field), value, names.path_segment(value))
        elif field != "namespace":
            errors.required(PARENT.child(field))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, PARENT, new.spec.parentRef, old.spec.parentRef)


def row(obj: Any, now: float) -> list[Any]:
    parent = obj.spec.parentRef
    parts = (parent.resource, parent.group, parent.namespace, parent.name) if parent is not None else ()
    return [obj.metadata.name, _shown(*parts) if parts else "<none>"]


def _shown(resource: str, group: str | None, namespace: str | None, name: str) -> str:
    """`services/default/web`."""
    qualified = f"{resource}.{group}" if group else resource
    return "/".join(part for part in (qualified, namespace, name) if part)


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    namespaced=False,
    short_names=("ip",),
    validate=validate,
    validate_update=validate_update,
    name_errors=name_errors,
    columns=(NAME, Column("ParentRef", field="IPAddressSpec.parentRef")),
    row=row,
)
