"""ResourceClaim: resource `resourceclaims.resource.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    namespaced=True,
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("State"),
        AGE,
    ),
)
