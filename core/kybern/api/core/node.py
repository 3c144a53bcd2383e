"""Node: a machine that runs pods."""

from __future__ import annotations

from copy import copy
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.lifecycle import keep_other_half
from kybern.api.table import AGE, NAME, NONE, age
from kybern.api.validation import ip
from kybern.api.validation.resources import validate_resource_list
from kybern.api.validation.tolerations import validate_taints

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"
UNKNOWN = "<unknown>"
CIDRS = Path("spec").child("podCIDRs")
TAINTS = Path("metadata").child("taints")
STATUS = Path("status")


def default(obj: Any) -> None:
    """`podCIDR` is the first of `podCIDRs`; without other word, pods may have all there is."""
    spec, status = obj.spec, obj.status
    if spec.podCIDR and (not spec.podCIDRs or spec.podCIDRs[0] != spec.podCIDR):
        spec.podCIDRs = [spec.podCIDR]
    if spec.podCIDRs:
        spec.podCIDR = spec.podCIDRs[0]
    _default_allocatable(status)


def _default_allocatable(status: Any) -> None:
    if status.allocatable is None and status.capacity is not None:
        status.allocatable = dict(status.capacity)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    keep_other_half(new, old, context)
    if context.subresource == "status":
        _default_allocatable(new.status)


def validate(obj: Any, errors: Errors) -> None:
    # Upstream places taints below metadata, and clients know them there.
    validate_taints(errors, TAINTS, obj.spec.taints)
    blocks = obj.spec.podCIDRs or []
    for i, text in enumerate(blocks):
        ip.validate_network(errors, CIDRS.index(i), text)
    networks = [ip.parse_network(text) for text in blocks]
    if len(blocks) > 1 and None not in networks and (len(blocks) > 2 or len({n.version for n in networks if n}) < 2):
        errors.invalid(CIDRS, blocks, "may specify no more than one CIDR for each IP family")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    spec, stored = new.spec, old.spec
    if stored.podCIDRs and spec.podCIDRs != stored.podCIDRs:
        errors.forbidden(CIDRS, 'node updates may not change podCIDR except from "" to valid')
    if stored.providerID and spec.providerID != stored.providerID:
        path = Path("spec").child("providerID")
        errors.forbidden(path, 'node updates may not change providerID except from "" to valid')
    given = copy(spec)
    for field in ("podCIDR", "podCIDRs", "providerID", "taints", "unschedulable", "configSource"):
        setattr(given, field, getattr(stored, field))
    if given != stored:
        text = (
            "node updates may only change labels, taints, or capacity "
            "(or configSource, if the DynamicKubeletConfig feature gate is enabled)"
        )
        errors.forbidden("spec", text)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    status = new.status
    for field in ("capacity", "allocatable"):
        amounts = getattr(status, field)
        if amounts and amounts != getattr(old.status, field):
            validate_resource_list(errors, STATUS.child(field), amounts)
    seen: list[Any] = []
    for i, address in enumerate(status.addresses or ()):
        if address in seen:
            errors.duplicate(STATUS.child("addresses").index(i), address)
        seen.append(address)


def row(obj: Any, now: float) -> list[Any]:
    info = obj.status.nodeInfo
    return [
        obj.metadata.name,
        _status(obj),
        ",".join(_roles(obj)) or NONE,
        age(obj.metadata.creationTimestamp, now),
        info.kubeletVersion,
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        info.osImage or UNKNOWN,
        info.kernelVersion or UNKNOWN,
        info.containerRuntimeVersion or UNKNOWN,
    ]


def _status(obj: Any) -> str:
    ready = next((c.status for c in obj.status.conditions or () if c.type == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if obj.spec.unschedulable else text


def _roles(obj: Any) -> list[str]:
    found = set()
    for key, value in (obj.metadata.labels or {}).items():
        if key.startswith(ROLE_PREFIX) and len(key) > len(ROLE_PREFIX):
            found.add(key[len(ROLE_PREFIX) :])
        elif key == ROLE_LABEL and value:
            found.add(value)
    return sorted(found)


def _address(obj: Any, kind: str) -> str:
    return next((a.address for a in obj.status.addresses or () if a.type == kind), NONE)


KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    namespaced=False,
    short_names=("no",),
    subresources=(
        Subresource("proxy", kind="NodeProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        Subresource("status"),
    ),
    default=default,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    selectable={"spec.unschedulable": lambda obj: "true" if obj.spec.unschedulable else "false"},
    columns=(
        NAME,
        Column("Status", description="The status of the node"),
        Column("Roles", description="The roles of the node"),
        AGE,
        Column("Version", field="NodeSystemInfo.kubeletVersion"),
        Column("Internal-IP", priority=1, field="NodeStatus.addresses"),
        Column("External-IP", priority=1, field="NodeStatus.addresses"),
        Column("OS-Image", priority=1, field="NodeSystemInfo.osImage"),
        Column("Kernel-Version", priority=1, field="NodeSystemInfo.kernelVersion"),
        Column("Container-Runtime", priority=1, field="NodeSystemInfo.containerRuntimeVersion"),
    ),
    row=row,
)
