"""Binding: resource `bindings`, and the body of a pod's `binding` subresource."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import REVIEW_VERBS, Kind
from kybern.api.validation import names

TARGET = Path("target")


def validate(obj: Any, errors: Errors) -> None:
    """A pod is bound to a Node, by name."""
    target = obj.target
    if target.kind and target.kind != "Node":
        errors.not_supported(TARGET.child("kind"), target.kind, ["Node", "<empty>"])
    if not target.name:
        errors.required(TARGET.child("name"))
    else:
        names.add_all(errors, TARGET.child("name"), target.name, names.dns1123_subdomain(target.name))


KIND = Kind(
    group="",
    version="v1",
    kind="Binding",
    plural="bindings",
    namespaced=True,
    verbs=REVIEW_VERBS,
    validate=validate,
)
