"""ServiceAccount: resource `serviceaccounts`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    namespaced=True,
    short_names=("sa",),
    subresources=(
        Subresource("token", kind="TokenRequest", group="authentication.k8s.io", version="v1", verbs=("create",)),
    ),
    columns=(
        NAME,
        AGE,
    ),
)
