"""PersistentVolume: a piece of storage in the cluster; the kinds of storage are in `volume_sources`."""

from __future__ import annotations

from typing import Any

from kybern.api import quantity
from kybern.api.core import volume_sources
from kybern.api.core.persistentvolumeclaim import MODES, VOLUME_MODES, modes_text, validate_modes
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.storage.classes import class_of
from kybern.api.table import AGE, NAME, UNSET, age
from kybern.api.time import format_time
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_immutable
from kybern.api.validation.resources import validate_non_negative_quantity, validate_positive_quantity
from kybern.api.validation.selectors import validate_node_selector

__all__ = ["KIND", "MODES"]

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SPEC = Path("spec")
RECYCLE_WARNING = (
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
    "Instead, the recommended approach is to use dynamic provisioning."
)


def default(obj: Any) -> None:
    spec = obj.spec
    obj.status.phase = obj.status.phase or "Pending"
    spec.persistentVolumeReclaimPolicy = spec.persistentVolumeReclaimPolicy or "Retain"
    if spec.volumeMode is None:
        spec.volumeMode = "Filesystem"
    volume_sources.default(spec)


def prepare_create(obj: Any, context: WriteContext) -> None:
    obj.status = type(obj)().status
    obj.status.phase = "Pending"
    obj.status.lastPhaseTransitionTime = format_time(context.now)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    if context.subresource != "status":
        new.status = old.status
        return
    new.spec = old.spec
    if (
        new.status.phase != old.status.phase
        and new.status.lastPhaseTransitionTime == old.status.lastPhaseTransitionTime
    ):
        new.status.lastPhaseTransitionTime = format_time(context.now)


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if not spec.accessModes:
        errors.required(SPEC.child("accessModes"))
    validate_modes(spec.accessModes, errors, SPEC.child("accessModes"))
    _validate_capacity(spec.capacity, errors, SPEC.child("capacity"))
    policy = spec.persistentVolumeReclaimPolicy
    if policy and policy not in RECLAIM_POLICIES:
        errors.not_supported(SPEC.child("persistentVolumeReclaimPolicy"), policy, RECLAIM_POLICIES)
    if spec.nodeAffinity is not None:
        _validate_affinity(spec.nodeAffinity, errors, SPEC.child("nodeAffinity"))
    volume_sources.validate(spec, errors, SPEC)
    if spec.hostPath is not None and spec.hostPath.path == "/" and policy == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        errors.forbidden(SPEC.child("persistentVolumeReclaimPolicy"), text)
    _validate_classes(spec, errors)


def _validate_capacity(capacity: dict[str, str] | None, errors: Errors, path: Path) -> None:
    if not capacity:
        errors.required(path)
    if set(capacity or ()) != {"storage"}:
        errors.not_supported(path, capacity, ("storage",))
    for name, amount in (capacity or {}).items():
        validate_non_negative_quantity(errors, path.key(name), amount)
        validate_positive_quantity(errors, path.key(name), amount)


def _validate_affinity(affinity: Any, errors: Errors, path: Path) -> None:
    if affinity.required is None:
        errors.required(path.child("required"), "must specify required node constraints")
    else:
        validate_node_selector(errors, path.child("required"), affinity.required)


def _validate_classes(spec: Any, errors: Errors) -> None:
    if spec.storageClassName:
        path = SPEC.child("storageClassName")
        names.add_all(errors, path, spec.storageClassName, names.dns1123_subdomain(spec.storageClassName))
    if spec.volumeMode is not None and spec.volumeMode not in VOLUME_MODES:
        errors.not_supported(SPEC.child("volumeMode"), spec.volumeMode, VOLUME_MODES)
    attributes = spec.volumeAttributesClassName
    if attributes is None:
        return
    path = SPEC.child("volumeAttributesClassName")
    if not attributes:
        errors.required(path, "an empty string is disallowed")
    else:
        names.add_all(errors, path, attributes, names.dns1123_subdomain(attributes))
    if spec.csi is None:
        errors.required(SPEC.child("csi"), "has to be specified when using volumeAttributesClassName")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    spec, stored = new.spec, old.spec
    if volume_sources.of(spec) != volume_sources.of(stored):
        text = "spec.persistentvolumesource is immutable after creation"
        errors.forbidden(SPEC.child("persistentvolumesource"), text)
    validate_immutable(errors, SPEC.child("volumeMode"), spec.volumeMode, stored.volumeMode)
    if stored.nodeAffinity is not None and spec.nodeAffinity != stored.nodeAffinity:
        text = "field is immutable, except for updating from beta label to GA"
        errors.invalid(SPEC.child("nodeAffinity"), spec.nodeAffinity, text)


def warn(new: Any, old: Any | None) -> list[str]:
    found = [RECYCLE_WARNING] if new.spec.persistentVolumeReclaimPolicy == "Recycle" else []
    return found + volume_sources.warnings(new.spec, "spec")


def row(obj: Any, now: float) -> list[Any]:
    spec, claim = obj.spec, obj.spec.claimRef
    storage = (spec.capacity or {}).get("storage")
    return [
        obj.metadata.name,
        quantity.canonical(storage) if storage else "0",
        modes_text(spec.accessModes),
        spec.persistentVolumeReclaimPolicy or "",
        "Terminating" if obj.metadata.deletionTimestamp else obj.status.phase or "",
        f"{claim.namespace}/{claim.name}" if claim is not None else "",
        class_of(obj),
        UNSET if spec.volumeAttributesClassName is None else spec.volumeAttributesClassName,
        obj.status.reason or "",
        age(obj.metadata.creationTimestamp, now),
        UNSET if spec.volumeMode is None else spec.volumeMode,
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    namespaced=False,
    short_names=("pv",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    warn=warn,
    selectable={"name": lambda obj: obj.metadata.name or ""},
    columns=(
        NAME,
        Column("Capacity", field="PersistentVolumeSpec.capacity"),
        Column("Access Modes", field="PersistentVolumeSpec.accessModes"),
        Column("Reclaim Policy", field="PersistentVolumeSpec.persistentVolumeReclaimPolicy"),
        Column("Status", field="PersistentVolumeStatus.phase"),
        Column("Claim", field="PersistentVolumeSpec.claimRef"),
        Column("StorageClass", field="PersistentVolumeSpec.storageClassName"),
        Column("VolumeAttributesClass", field="PersistentVolumeSpec.volumeAttributesClassName"),
        Column("Reason", field="PersistentVolumeStatus.reason"),
        AGE,
        Column("VolumeMode", priority=1, field="PersistentVolumeSpec.volumeMode"),
    ),
    row=row,
)
