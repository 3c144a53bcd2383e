"""NetworkPolicy: resource `networkpolicies.networking.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    namespaced=True,
    short_names=("netpol",),
    columns=(
        NAME,
        Column("Pod-Selector"),
        AGE,
    ),
)
