"""Endpoints: resource `endpoints`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    namespaced=True,
    short_names=("ep",),
    columns=(
        NAME,
        Column("Endpoints"),
        AGE,
    ),
)
