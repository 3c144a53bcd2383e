"""ConfigMap: resource `configmaps`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    namespaced=True,
    short_names=("cm",),
    columns=(
        NAME,
        Column("Data"),
        AGE,
    ),
)
