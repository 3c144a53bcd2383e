"""Service: resource `services`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    namespaced=True,
    short_names=("svc",),
    categories=("all",),
    subresources=(
        Subresource(
            "proxy",
            kind="ServiceProxyOptions",
            verbs=(
                "create",
                "delete",
                "get",
                "patch",
                "update",
            ),
        ),
        Subresource("status"),
    ),
    columns=(
        NAME,
        Column("Type"),
        Column("Cluster-IP"),
        Column("External-IP"),
        Column("Port(s)"),
        AGE,
        Column("Selector", priority=1),
    ),
)
