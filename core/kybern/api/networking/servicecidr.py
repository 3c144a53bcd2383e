"""ServiceCIDR: resource `servicecidrs.networking.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    namespaced=False,
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("CIDRs"),
        AGE,
    ),
)
