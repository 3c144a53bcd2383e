"""ResourceQuota: resource `resourcequotas`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    namespaced=True,
    short_names=("quota",),
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("Request"),
        Column("Limit"),
        AGE,
    ),
)
