"""ComponentStatus: the state of a control plane component; deprecated, kept for old clients."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import NAME

KIND = Kind(
    group="",
    version="v1",
    kind="ComponentStatus",
    plural="componentstatuses",
    namespaced=False,
    short_names=("cs",),
    verbs=("get", "list"),
    columns=(
        NAME,
        Column("Status"),
        Column("Message"),
        Column("Error"),
    ),
)
