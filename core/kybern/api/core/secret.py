"""Secret: resource `secrets`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    namespaced=True,
    columns=(
        NAME,
        Column("Type"),
        Column("Data"),
        AGE,
    ),
)
