"""VolumeAttachment: a volume that shall be attached to a node, and whether it is."""

from __future__ import annotations

from typing import Any

from kybern.api.core.volume_sources import validate_csi_driver_name
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.metadata import IMMUTABLE

SPEC = Path("spec")
ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    validate_csi_driver_name(spec.attacher, errors, SPEC.child("attacher"))
    _validate_source(spec.source, errors, SPEC.child("source"))
    names.add_all(errors, SPEC.child("nodeName"), spec.nodeName, names.dns1123_subdomain(spec.nodeName))


def _validate_source(source: Any, errors: Errors, path: Path) -> None:
    volume = source.persistentVolumeName
    if source.inlineVolumeSpec is None and volume is None:
        errors.required(path, ONE_SOURCE)
    elif source.inlineVolumeSpec is not None and volume is not None:
        errors.forbidden(path, ONE_SOURCE)
    elif volume is not None:
        path = path.child("persistentVolumeName")
        if not volume:
            errors.required(path, "must specify non empty persistentVolumeName")
        names.add_all(errors, path, volume, names.dns1123_subdomain(volume))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    if new.spec != old.spec:
        errors.invalid(SPEC, new.spec, IMMUTABLE)


def row(obj: Any, now: float) -> list[Any]:
    spec = obj.spec
    volume = spec.source.persistentVolumeName or ""
    created = age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, spec.attacher, volume, spec.nodeName, bool(obj.status.attached), created]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    namespaced=False,
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Attacher", format="name", field="VolumeAttachmentSpec.attacher"),
        Column("PV", field="VolumeAttachmentSource.persistentVolumeName"),
        Column("Node", field="VolumeAttachmentSpec.nodeName"),
        Column("Attached", type="boolean", field="VolumeAttachmentStatus.attached"),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
