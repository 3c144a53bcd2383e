"""PersistentVolumeClaim: a wish for storage, bound to one PersistentVolume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.storage.classes import class_of, storage_of
from kybern.api.table import AGE, NAME, UNSET, age
from kybern.api.validation import names
from kybern.api.validation.resources import validate_positive_quantity
from kybern.api.validation.selectors import validate_label_selector

__all__ = ["KIND", "MODES", "VOLUME_MODES", "default_claim_spec", "modes_text", "validate_claim_spec", "validate_modes"]

MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
SHORT_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
VOLUME_MODES = ("Block", "Filesystem")
SNAPSHOT = ("snapshot.storage.k8s.io", "VolumeSnapshot")
SPEC = Path("spec")
CHANGEABLE = ("resources", "volumeAttributesClassName")
IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default_claim_spec(spec: Any) -> None:
    """What a claim assumes, also inside a template."""
    if spec.volumeMode is None:
        spec.volumeMode = "Filesystem"


def default(obj: Any) -> None:
    obj.status.phase = obj.status.phase or "Pending"
    default_claim_spec(obj.spec)


def prepare_create(obj: Any, context: WriteContext) -> None:
    obj.status = type(obj)().status
    obj.status.phase = "Pending"
    spec = obj.spec
    if spec.dataSource is not None and not _is_known_source(spec.dataSource):
        spec.dataSource = None
    _mirror_sources(spec)


def _is_known_source(source: Any) -> bool:
    """The older field only ever meant claims and snapshots; anything else in it is dropped."""
    return (source.kind == "PersistentVolumeClaim" and not source.apiGroup) or (
        source.apiGroup,
        source.kind,
    ) == SNAPSHOT


def _mirror_sources(spec: Any) -> None:
    from kybern.api.core import TypedLocalObjectReference, TypedObjectReference

    old, new = spec.dataSource, spec.dataSourceRef
    if old is not None and new is None:
        spec.dataSourceRef = TypedObjectReference(apiGroup=old.apiGroup, kind=old.kind, name=old.name)
    elif new is not None and old is None and not new.namespace:
        mirrored = TypedLocalObjectReference(apiGroup=new.apiGroup, kind=new.kind, name=new.name)
        spec.dataSource = mirrored if _is_known_source(mirrored) else None


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    if context.subresource == "status":
        new.spec = old.spec
        return
    new.status = old.status
    _mirror_sources(new.spec)


def validate(obj: Any, errors: Errors) -> None:
    validate_claim_spec(errors, SPEC, obj.spec)


def validate_claim_spec(errors: Errors, path: Path, spec: Any) -> None:
    """A claim's spec, of its own or in a template."""
    if not spec.accessModes:
        errors.required(path.child("accessModes"), "at least 1 access mode is required")
    validate_label_selector(errors, path.child("selector"), spec.selector)
    validate_modes(spec.accessModes, errors, path.child("accessModes"))
    _validate_storage(spec, errors, path.child("resources").key("storage"))
    for field in ("storageClassName", "volumeAttributesClassName"):
        name = getattr(spec, field)
        if field == "volumeAttributesClassName":
            _validate_mode_and_sources(spec, errors, path)
        if name:
            names.add_all(errors, path.child(field), name, names.dns1123_subdomain(name))


def validate_modes(modes: Sequence[str] | None, errors: Errors, path: Path) -> None:
    """Known access modes; ReadWriteOncePod stands alone."""
    for mode in modes or ():
        if mode not in MODES:
            errors.not_supported(path, mode, MODES)
    known = {mode for mode in modes or () if mode in MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def _validate_storage(spec: Any, errors: Errors, path: Path) -> None:
    amount = (spec.resources.requests or {}).get("storage")
    if amount is None:
        errors.required(path)
    else:
        validate_positive_quantity(errors, path, amount)


def _validate_mode_and_sources(spec: Any, errors: Errors, path: Path) -> None:
    if spec.volumeMode is not None and spec.volumeMode not in VOLUME_MODES:
        errors.not_supported(path.child("volumeMode"), spec.volumeMode, VOLUME_MODES)
    for field in ("dataSource", "dataSourceRef"):
        source = getattr(spec, field)
        if source is not None:
            _validate_source(source, errors, path.child(field))
    _validate_same_source(spec, errors, path)


def _validate_source(source: Any, errors: Errors, path: Path) -> None:
    for field in ("name", "kind"):
        if not getattr(source, field):
            errors.required(path.child(field))
    if not source.apiGroup:
        if source.kind != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errors.invalid(path, source.kind, text)
    else:
        names.add_all(errors, path.child("apiGroup"), source.apiGroup, names.dns1123_subdomain(source.apiGroup))


def _validate_same_source(spec: Any, errors: Errors, path: Path) -> None:
    old, new = spec.dataSource, spec.dataSourceRef
    if new is not None and new.namespace and old is not None:
        errors.invalid(path, "dataSource", "may not be specified when dataSourceRef.namespace is specified")
    elif old is not None and new is not None and _named(old) != _named(new):
        errors.invalid(path, "dataSource", "must match dataSourceRef")


def _named(source: Any) -> tuple[str | None, str, str]:
    return source.apiGroup, source.kind, source.name


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """A claim is as it was made, but may be bound once and grow afterwards."""
    given, stored = types.copy(new.spec), old.spec
    if not stored.volumeName:
        given.volumeName = stored.volumeName
    if stored.storageClassName is None:
        given.storageClassName = None
    if old.status.phase == "Bound":
        for field in CHANGEABLE:
            setattr(given, field, getattr(stored, field))
    if given != stored:
        errors.forbidden(SPEC, IMMUTABLE)
    wanted, before = storage_of(new.spec.resources.requests), storage_of(stored.resources.requests)
    held = storage_of(old.status.capacity)
    if wanted < before and wanted < held:
        errors.forbidden(SPEC.child("resources", "requests", "storage"), "field can not be less than status.capacity")


def modes_text(modes: Sequence[str] | None) -> str:
    """`RWO,ROX`."""
    return ",".join(short for mode, short in SHORT_MODES.items() if mode in (modes or ()))


def row(obj: Any, now: float) -> list[Any]:
    spec, status = obj.spec, obj.status
    bound = bool(spec.volumeName)
    return [
        obj.metadata.name,
        "Terminating" if obj.metadata.deletionTimestamp else status.phase or "",
        spec.volumeName or "",
        (status.capacity or {}).get("storage", "0") if bound else "",
        modes_text(status.accessModes) if bound else "",
        class_of(obj),
        UNSET if spec.volumeAttributesClassName is None else spec.volumeAttributesClassName,
        age(obj.metadata.creationTimestamp, now),
        UNSET if spec.volumeMode is None else spec.volumeMode,
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    namespaced=True,
    short_names=("pvc",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    selectable={"name": lambda obj: obj.metadata.name or ""},
    columns=(
        NAME,
        Column("Status", field="PersistentVolumeClaimStatus.phase"),
        Column("Volume", field="PersistentVolumeClaimSpec.volumeName"),
        Column("Capacity", field="PersistentVolumeClaimStatus.capacity"),
        Column("Access Modes", field="PersistentVolumeClaimStatus.accessModes"),
        Column("StorageClass", field="PersistentVolumeClaimSpec.storageClassName"),
        Column("VolumeAttributesClass", field="PersistentVolumeClaimSpec.volumeAttributesClassName"),
        AGE,
        Column("VolumeMode", priority=1, field="PersistentVolumeClaimSpec.volumeMode"),
    ),
    row=row,
)
