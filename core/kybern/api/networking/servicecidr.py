"""ServiceCIDR: a range of addresses for services."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import ip
from kybern.api.validation.metadata import IMMUTABLE

CIDRS = Path("spec").child("cidrs")


def validate(obj: Any, errors: Errors) -> None:
    blocks = obj.spec.cidrs or []
    if not blocks:
        errors.required(CIDRS, "at least one CIDR required")
        return
    if len(blocks) > 2:
        errors.invalid(CIDRS, obj.spec, "may only hold up to 2 values")
        return
    for i, text in enumerate(blocks):
        _validate_block(text, errors, CIDRS.index(i))
    networks = [ip.parse_network(text) for text in blocks]
    if len(networks) == 2 and None not in networks and len({n.version for n in networks if n}) == 1:
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.invalid(CIDRS, blocks, text)


def _validate_block(text: str, errors: Errors, path: Path) -> None:
    ip.validate_network(errors, path, text)
    network = ip.parse_network(text)
    if network is not None and not ip.network_faults(text) and str(network) != text:
        errors.invalid(path, text, f'must be in canonical form ("{network}")')


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """A second family may be added; nothing else changes."""
    blocks, before = new.spec.cidrs or [], old.spec.cidrs or []
    if len(blocks) != len(before) and (len(before), len(blocks)) != (1, 2):
        errors.invalid(CIDRS, blocks, IMMUTABLE)
        return
    for i, (block, stored) in enumerate(zip(blocks, before, strict=False)):
        if block != stored:
            errors.invalid(CIDRS.index(i), block, IMMUTABLE)


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, ",".join(obj.spec.cidrs or ()), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    namespaced=False,
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("CIDRs", field="ServiceCIDRSpec.cidrs"), AGE),
    row=row,
)
