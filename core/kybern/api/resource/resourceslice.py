"""ResourceSlice: resource `resourceslices.resource.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    namespaced=False,
    columns=(
        NAME,
        Column("Node"),
        Column("Driver"),
        Column("Pool"),
        AGE,
    ),
)
