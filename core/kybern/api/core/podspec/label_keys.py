"""Turns `matchLabelKeys` and `mismatchLabelKeys` into label selectors when a pod is created.

The keys name labels of the pod itself (KEP-3633, KEP-3243); from then on only the selectors count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["apply_label_keys"]


def apply_label_keys(pod: Any) -> None:
    """Extend the selectors of pod affinity terms and topology spread constraints."""
    labels = pod.metadata.labels or {}
    for term in _terms(pod.spec.affinity):
        if term.labelSelector is not None:
            _require(term.labelSelector, "In", term.matchLabelKeys or (), labels)
            _require(term.labelSelector, "NotIn", term.mismatchLabelKeys or (), labels)
    for constraint in pod.spec.topologySpreadConstraints or ():
        if constraint.labelSelector is not None:
            _require(constraint.labelSelector, "In", constraint.matchLabelKeys or (), labels)


def _terms(affinity: Any | None) -> Iterable[Any]:
    for side in (affinity.podAffinity, affinity.podAntiAffinity) if affinity is not None else ():
        if side is not None:
            yield from side.requiredDuringSchedulingIgnoredDuringExecution or ()
            for weighted in side.preferredDuringSchedulingIgnoredDuringExecution or ():
                yield weighted.podAffinityTerm


def _require(selector: Any, operator: str, keys: Iterable[str], labels: Mapping[str, str]) -> None:
    from kybern.api.meta import LabelSelectorRequirement

    for key in keys:
        if key in labels:
            requirement = LabelSelectorRequirement(key=key, operator=operator, values=[labels[key]])
            selector.matchExpressions = [*(selector.matchExpressions or []), requirement]
