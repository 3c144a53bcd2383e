"""Binding: resource `bindings`."""

from __future__ import annotations

from kybern.api.kind import REVIEW_VERBS, Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Binding",
    plural="bindings",
    namespaced=True,
    verbs=REVIEW_VERBS,
)
