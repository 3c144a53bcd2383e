"""StorageClass: a kind of storage that claims can ask for."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.storage.classes import is_default
from kybern.api.storage.rules import validate_parameters, validate_provisioner
from kybern.api.table import AGE, NAME, UNSET, age
from kybern.api.validation.metadata import validate_immutable
from kybern.api.validation.selectors import validate_topology_terms

RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


def default(obj: Any) -> None:
    if obj.reclaimPolicy is None:
        obj.reclaimPolicy = "Delete"
    if obj.volumeBindingMode is None:
        obj.volumeBindingMode = "Immediate"


def validate(obj: Any, errors: Errors) -> None:
    validate_provisioner(obj.provisioner, errors, Path("provisioner"))
    validate_parameters(obj.parameters, errors, Path("parameters"))
    if obj.reclaimPolicy and obj.reclaimPolicy not in RECLAIM_POLICIES:
        errors.not_supported("reclaimPolicy", obj.reclaimPolicy, RECLAIM_POLICIES)
    if obj.volumeBindingMode is None:
        errors.required("volumeBindingMode")
    elif obj.volumeBindingMode not in BINDING_MODES:
        errors.not_supported("volumeBindingMode", obj.volumeBindingMode, BINDING_MODES)
    validate_topology_terms(errors, Path("allowedTopologies"), obj.allowedTopologies)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if getattr(new, field) != getattr(old, field):
            errors.forbidden(field, f"updates to {field} are forbidden.")
    validate_immutable(errors, Path("volumeBindingMode"), new.volumeBindingMode, old.volumeBindingMode)


def row(obj: Any, now: float) -> list[Any]:
    mark = " (default)" if is_default(obj) else ""
    return [
        obj.metadata.name + mark,
        obj.provisioner,
        "Delete" if obj.reclaimPolicy is None else obj.reclaimPolicy,
        UNSET if obj.volumeBindingMode is None else obj.volumeBindingMode,
        bool(obj.allowVolumeExpansion),
        age(obj.metadata.creationTimestamp, now),
    ]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    namespaced=False,
    short_names=("sc",),
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Provisioner", field="StorageClass.provisioner"),
        Column("ReclaimPolicy", field="StorageClass.reclaimPolicy"),
        Column("VolumeBindingMode", field="StorageClass.volumeBindingMode"),
        Column("AllowVolumeExpansion", field="StorageClass.allowVolumeExpansion"),
        AGE,
    ),
    row=row,
)
