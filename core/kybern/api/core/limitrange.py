"""LimitRange: resource `limitranges`."""

from __future__ import annotations

from kybern.api.kind import Kind
from kybern.api.table import CREATED_AT, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    namespaced=True,
    short_names=("limits",),
    columns=(
        NAME,
        CREATED_AT,
    ),
)
