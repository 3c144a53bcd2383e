"""ResourceClaim: asks for devices; the scheduler writes down which it got."""

from __future__ import annotations

from typing import Any

from kybern.api.core.volume_sources import validate_csi_driver_name
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.resource import claims
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.conditions import validate_conditions
from kybern.api.validation.ip import validate_interface_address
from kybern.api.validation.metadata import validate_immutable
from kybern.api.validation.selectors import validate_node_selector

RESERVED_MAX = 256
RESULTS_MAX = 32
CONDITIONS_MAX = 8
IPS_MAX = 16
INTERFACE_MAX, HARDWARE_ADDRESS_MAX = 256, 128
STATUS = Path("status")


def default(obj: Any) -> None:
    claims.default_claim(obj.spec)


def validate(obj: Any, errors: Errors) -> None:
    if not obj.metadata.resourceVersion:
        claims.validate_claim(obj.spec, errors, Path("spec"))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, Path("spec"), new.spec, old.spec)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    status, stored, path = new.status, old.status, STATUS.child("reservedFor")
    for at, consumer in claims.each(errors, path, status.reservedFor, RESERVED_MAX, lambda c: c.uid):
        for field in ("resource", "name", "uid"):
            if not getattr(consumer, field):
                errors.required(at.child(field))
    if status.reservedFor and status.allocation is None:
        errors.forbidden(path, "may not be specified when `allocated` is not set")
    elif new.metadata.deletionTimestamp and [
        c for c in status.reservedFor or () if c not in (stored.reservedFor or ())
    ]:
        text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.forbidden(path, text)
    _validate_devices(status, errors, STATUS.child("devices"))
    path = STATUS.child("allocation")
    if status.allocation is not None and stored.allocation is not None:
        validate_immutable(errors, path, status.allocation, stored.allocation)
    elif status.allocation is not None:
        _validate_allocation(status.allocation, claims.request_names(new.spec.devices), errors, path)


def _validate_allocation(allocation: Any, known: set[str], errors: Errors, path: Path) -> None:
    results = path.child("devices", "results")
    for at, result in claims.each(errors, results, allocation.devices.results, RESULTS_MAX):
        claims.validate_request_reference(result.request, known, errors, at.child("request"))
        _validate_device(result, errors, at)
    if allocation.nodeSelector is not None:
        validate_node_selector(errors, path.child("nodeSelector"), allocation.nodeSelector)


def _validate_device(device: Any, errors: Errors, path: Path) -> None:
    validate_csi_driver_name(device.driver, errors, path.child("driver"))
    claims.validate_pool_name(device.pool, errors, path.child("pool"))
    names.add_all(errors, path.child("device"), device.device, names.dns1123_label(device.device))


def _identity(device: Any) -> tuple[str, ...]:
    return (device.driver, device.pool, device.device, device.shareID or "")


def _validate_devices(status: Any, errors: Errors, path: Path) -> None:
    """What drivers report about the devices that the claim was given."""
    results = (status.allocation.devices.results or ()) if status.allocation is not None else ()
    allocated = {_identity(result) for result in results}
    seen: set[tuple[str, ...]] = set()
    for i, device in enumerate(status.devices or ()):
        at, identity = path.index(i), _identity(device)
        shown = "/".join(part for part in identity if part)
        _validate_device(device, errors, at)
        if identity in seen:
            errors.duplicate(at, shown)
        seen.add(identity)
        if identity not in allocated:
            errors.invalid(at, shown, "must be an allocated device in the claim")
        if len(device.conditions or ()) > CONDITIONS_MAX:
            errors.too_many(at.child("conditions"), len(device.conditions), CONDITIONS_MAX)
        validate_conditions(errors, at.child("conditions"), device.conditions)
        if device.data is not None:
            claims.validate_raw(device.data, errors, at.child("data"), "data")
        if device.networkData is not None:
            _validate_network(device.networkData, errors, at.child("networkData"))


def _validate_network(network: Any, errors: Errors, path: Path) -> None:
    for field, limit in (("interfaceName", INTERFACE_MAX), ("hardwareAddress", HARDWARE_ADDRESS_MAX)):
        if len(getattr(network, field) or "") > limit:
            errors.too_long(path.child(field), limit)
    for at, address in claims.each(errors, path.child("ips"), network.ips, IPS_MAX, lambda ip: ip):
        validate_interface_address(errors, at, address)


def row(obj: Any, now: float) -> list[Any]:
    states = ["deleted"] if obj.metadata.deletionTimestamp else []
    if obj.status.allocation is not None:
        states.append("allocated")
    elif not states:
        states.append("pending")
    if obj.status.reservedFor:
        states.append("reserved")
    return [obj.metadata.name, ",".join(states), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    namespaced=True,
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    columns=(
        NAME,
        Column("State", description="A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE,
    ),
    row=row,
)
