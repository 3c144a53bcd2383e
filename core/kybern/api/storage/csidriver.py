"""CSIDriver: what a CSI driver can do and wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, NONE, UNSET, age
from kybern.api.validation.metadata import validate_immutable

LIFECYCLE_MODES = ("Persistent", "Ephemeral")
FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
SHORTEST_TOKEN, LONGEST_TOKEN = 600, 1 << 32
SHORTEST_PERIOD = 10
SPEC = Path("spec")
DEFAULTS: dict[str, Any] = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}
TOKENS_IN_ATTRIBUTES = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, "
    "set to true to prevent possible logging of tokens in volume attributes"
)


def default(obj: Any) -> None:
    for field, value in DEFAULTS.items():
        if getattr(obj.spec, field) is None:
            setattr(obj.spec, field, value)
    if not obj.spec.volumeLifecycleModes:
        obj.spec.volumeLifecycleModes = ["Persistent"]


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    policy = spec.fsGroupPolicy
    if policy is not None and policy not in FS_GROUP_POLICIES:
        errors.not_supported(SPEC.child("fsGroupPolicy"), policy, FS_GROUP_POLICIES)
    _validate_tokens(spec.tokenRequests or (), errors, SPEC.child("tokenRequests"))
    for mode in spec.volumeLifecycleModes or ():
        if mode not in LIFECYCLE_MODES:
            errors.not_supported(SPEC.child("volumeLifecycleModes"), mode, LIFECYCLE_MODES)
    period = spec.nodeAllocatableUpdatePeriodSeconds
    if period is not None and period < SHORTEST_PERIOD:
        path = SPEC.child("nodeAllocatableUpdatePeriodSeconds")
        errors.invalid(path, period, f"must be greater than or equal to {SHORTEST_PERIOD} seconds")


def _validate_tokens(requests: Sequence[Any], errors: Errors, path: Path) -> None:
    seen: set[str] = set()
    for i, request in enumerate(requests):
        at = path.index(i)
        if request.audience in seen:
            errors.duplicate(at.child("audience"), request.audience)
            continue
        seen.add(request.audience)
        seconds = request.expirationSeconds
        if seconds is not None and seconds < SHORTEST_TOKEN:
            errors.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > LONGEST_TOKEN:
            errors.invalid(
                at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds"
            )


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    for field in ("attachRequired", "volumeLifecycleModes"):
        validate_immutable(errors, SPEC.child(field), getattr(new.spec, field), getattr(old.spec, field))


def warn(new: Any, old: Any | None) -> list[str]:
    if new.spec.tokenRequests and new.spec.serviceAccountTokenInSecrets is None:
        return [TOKENS_IN_ATTRIBUTES]
    return []


def row(obj: Any, now: float) -> list[Any]:
    spec = obj.spec
    return [
        obj.metadata.name,
        spec.attachRequired is not False,
        bool(spec.podInfoOnMount),
        bool(spec.storageCapacity),
        ",".join(r.audience for r in spec.tokenRequests or ()) if spec.tokenRequests else UNSET,
        bool(spec.requiresRepublish),
        ",".join(spec.volumeLifecycleModes or ()) or NONE,
        age(obj.metadata.creationTimestamp, now),
    ]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    namespaced=False,
    default=default,
    validate=validate,
    validate_update=validate_update,
    warn=warn,
    columns=(
        NAME,
        Column("AttachRequired", type="boolean", field="CSIDriverSpec.attachRequired"),
        Column("PodInfoOnMount", type="boolean", field="CSIDriverSpec.podInfoOnMount"),
        Column("StorageCapacity", type="boolean", field="CSIDriverSpec.storageCapacity"),
        Column("TokenRequests", field="CSIDriverSpec.tokenRequests"),
        Column("RequiresRepublish", type="boolean", field="CSIDriverSpec.requiresRepublish"),
        Column("Modes", field="CSIDriverSpec.volumeLifecycleModes"),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
