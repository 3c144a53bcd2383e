"""PersistentVolumeClaim: resource `persistentvolumeclaims`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    namespaced=True,
    short_names=("pvc",),
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("Status"),
        Column("Volume"),
        Column("Capacity"),
        Column("Access Modes"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        AGE,
        Column("VolumeMode", priority=1),
    ),
)
