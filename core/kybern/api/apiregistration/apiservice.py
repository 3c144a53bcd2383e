"""APIService: resource `apiservices.apiregistration.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    namespaced=False,
    categories=("api-extensions",),
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("Service"),
        Column("Available"),
        AGE,
    ),
)
