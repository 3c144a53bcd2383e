"""CustomResourceDefinition: resource `customresourcedefinitions.apiextensions.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.table import CREATED_AT, NAME

KIND = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=(
        "crd",
        "crds",
    ),
    categories=("api-extensions",),
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        CREATED_AT,
    ),
)
