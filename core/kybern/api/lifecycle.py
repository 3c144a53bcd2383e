"""Steps that many kinds take on the way to the store: keep status and spec apart, tell a changed spec.

Upstream calls these parts of a resource's strategy. Kinds name them in their `KIND`.
"""

from __future__ import annotations

from typing import Any

from kybern.api.kind import WriteContext

__all__ = ["drop_status", "keep_metadata", "keep_other_half", "never_changed", "spec_changed"]


def drop_status(obj: Any, context: WriteContext) -> None:
    """A creator has no say in the status."""
    obj.status = type(obj)().status


def keep_other_half(new: Any, old: Any, context: WriteContext) -> None:
    """The main path keeps the stored status, the status path the stored spec."""
    if context.subresource == "status":
        new.spec = old.spec
    else:
        new.status = old.status


def keep_metadata(new: Any, old: Any, context: WriteContext) -> None:
    """As `keep_other_half`, and the status path may not touch labels, annotations and owners either."""
    keep_other_half(new, old, context)
    if context.subresource == "status":
        meta, stored = new.metadata, old.metadata
        meta.labels, meta.annotations = stored.labels, stored.annotations
        meta.finalizers, meta.ownerReferences = stored.finalizers, stored.ownerReferences


def spec_changed(new: Any, old: Any) -> bool:
    """Whether the desired state differs."""
    return bool(new.spec != old.spec)


def never_changed(new: Any, old: Any) -> bool:
    """For kinds whose generation is 1 and stays so."""
    return False
