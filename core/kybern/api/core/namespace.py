"""Namespace: resource `namespaces`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(
        Subresource("finalize", verbs=("update",)),
        Subresource("status"),
    ),
    columns=(
        NAME,
        Column("Status"),
        AGE,
    ),
)
