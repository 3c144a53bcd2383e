"""ServiceAccount: the identity that pods run as."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind, Subresource, WriteContext
from kybern.api.table import AGE, NAME, name_and_age


def prepare_create(obj: Any, context: WriteContext) -> None:
    """Only the names of secrets mean anything here."""
    for reference in obj.secrets or ():
        for field in ("kind", "namespace", "uid", "apiVersion", "resourceVersion", "fieldPath"):
            setattr(reference, field, None)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    prepare_create(new, context)


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
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    columns=(NAME, AGE),
    row=name_and_age,
    unconditional_update=False,
)
