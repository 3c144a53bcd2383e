"""What the access reviews have in common: whose access to what is asked for."""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.api.field import Errors, Path

__all__ = ["refuse", "validate_empty_metadata", "validate_question", "validate_subject"]

SPEC = Path("spec")
ONE_QUESTION = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def validate_question(spec: Any, errors: Errors) -> None:
    """Either about a resource or about a URL."""
    if spec.resourceAttributes is None and spec.nonResourceAttributes is None:
        errors.invalid(SPEC.child("resourceAttributes"), None, ONE_QUESTION)
    elif spec.resourceAttributes is not None and spec.nonResourceAttributes is not None:
        text = "cannot be specified in combination with resourceAttributes"
        errors.invalid(SPEC.child("nonResourceAttributes"), spec.nonResourceAttributes, text)


def validate_subject(spec: Any, errors: Errors) -> None:
    """A user or groups."""
    if not spec.user and not spec.groups:
        errors.invalid(SPEC.child("user"), "", "at least one of user or group must be specified")


def validate_empty_metadata(obj: Any, errors: Errors, *, namespaced: bool = False) -> None:
    """A review is not stored, so it has no name or labels."""
    metadata = obj.metadata
    fields = [
        f
        for f in ("name", "generateName", "labels", "annotations", "finalizers", "ownerReferences")
        if getattr(metadata, f)
    ]
    if metadata.namespace and not namespaced:
        fields.append("namespace")
    if fields:
        errors.invalid("metadata", metadata, "must be empty except for namespace" if namespaced else "must be empty")


def refuse(errors: Errors) -> None:
    """422 for a bad question. The reviews have no name, and upstream's Status leaves out their kind too."""
    if errors:
        raise StatusError.invalid("", "authorization.k8s.io", "", errors)
