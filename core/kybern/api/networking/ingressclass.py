"""IngressClass: resource `ingressclasses.networking.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    namespaced=False,
    columns=(
        NAME,
        Column("Controller"),
        Column("Parameters"),
        AGE,
    ),
)
