"""What may still change in a pod that waits at a scheduling gate: it may only ask for less choice of nodes.

(KEP-3838, mutable scheduling directives.)
"""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path

__all__ = ["validate_gated_update"]

ONLY_ADDITIONS = "only additions are allowed (no mutations or deletions)"


def validate_gated_update(errors: Errors, path: Path, rest: Any, old: Any) -> None:
    """Check node selector and required node affinity of `rest`, a copy of the new spec, and put them back in it."""
    selector, before = rest.nodeSelector or {}, old.nodeSelector or {}
    if any(selector.get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.invalid(path.child("nodeSelector"), selector, text)
    rest.nodeSelector = old.nodeSelector
    _validate_affinity(errors, path.child("affinity", "nodeAffinity"), rest, old)


def _validate_affinity(errors: Errors, path: Path, rest: Any, old: Any) -> None:
    new, before = _node_affinity(rest), _node_affinity(old)
    required = getattr(before, "requiredDuringSchedulingIgnoredDuringExecution", None)
    if required is not None:
        at = path.child("requiredDuringSchedulingIgnoredDuringExecution")
        _validate_terms(errors, at, getattr(new, "requiredDuringSchedulingIgnoredDuringExecution", None), required)
    _put_back(rest, old)


def _node_affinity(spec: Any) -> Any | None:
    return spec.affinity.nodeAffinity if spec.affinity is not None else None


def _validate_terms(errors: Errors, path: Path, new: Any | None, old: Any) -> None:
    before = old.nodeSelectorTerms or []
    terms = (new.nodeSelectorTerms or []) if new is not None else []
    if before and len(terms) != len(before):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.invalid(path.child("nodeSelectorTerms"), terms, text)
        return
    for i, (term, kept) in enumerate(zip(terms, before, strict=False)):
        for field in ("matchExpressions", "matchFields"):
            ours, theirs = getattr(term, field) or [], getattr(kept, field) or []
            if ours[: len(theirs)] != theirs:
                errors.invalid(path.child("nodeSelectorTerms").index(i), term, ONLY_ADDITIONS)
                break


def _put_back(rest: Any, old: Any) -> None:
    if rest.affinity is None:
        rest.affinity = old.affinity
        return
    others = rest.affinity.podAffinity is not None or rest.affinity.podAntiAffinity is not None
    if old.affinity is None and not others:
        rest.affinity = None
    else:
        rest.affinity.nodeAffinity = _node_affinity(old)
