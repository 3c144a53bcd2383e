"""Lease: resource `leases.coordination.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    namespaced=True,
    columns=(
        NAME,
        Column("Holder"),
        AGE,
    ),
)
