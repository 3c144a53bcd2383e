"""Eviction: the body of a pod's `eviction` subresource. It is never stored, so it has no `KIND`."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors

__all__ = ["validate"]


def validate(obj: Any, errors: Errors) -> None:
    """The pod to evict is named."""
    if not obj.metadata.name:
        errors.required("metadata.name")
