"""RuntimeClass: resource `runtimeclasses.node.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    namespaced=False,
    columns=(
        NAME,
        Column("Handler"),
        AGE,
    ),
)
