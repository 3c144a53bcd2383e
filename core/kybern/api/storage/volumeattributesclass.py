"""VolumeAttributesClass: resource `volumeattributesclasses.storage.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    namespaced=False,
    short_names=("vac",),
    columns=(
        NAME,
        Column("DriverName"),
        AGE,
    ),
)
