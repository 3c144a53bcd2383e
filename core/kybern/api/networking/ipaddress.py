"""IPAddress: resource `ipaddresses.networking.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import NAME

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    namespaced=False,
    short_names=("ip",),
    columns=(
        NAME,
        Column("ParentRef"),
    ),
)
