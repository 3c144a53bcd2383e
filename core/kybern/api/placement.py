"""On which nodes a pod may be: taints and their tolerations, node selector and required node affinity.

The kubelet, the DaemonSet and the taint eviction controller ask about one pod and one node at a time, and ask here. The
scheduler asks about thousands of nodes at once: it shares `tolerates` and `meets`, and has terms of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kybern.api.selectors import NUMBER

__all__ = ["accepts_node", "is_decimal", "meets", "tolerates", "untolerated"]

_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,18}")


def tolerates(toleration: Any, taint: Any) -> bool:
    """Whether the toleration covers the taint (API reference, `Toleration`)."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    operator = toleration.operator or "Equal"
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.key) and (toleration.value or "") == (taint.value or "")
    return _compares(operator, taint.value or "", toleration.value or "")


def untolerated(taints: Iterable[Any] | None, tolerations: Iterable[Any] | None) -> list[Any]:
    """The taints that no toleration covers."""
    tolerations = list(tolerations or ())
    return [taint for taint in taints or () if not any(tolerates(t, taint) for t in tolerations)]


def is_decimal(text: str) -> bool:
    """Whether it is a whole number of 64 bits as it is usually written: no plus sign, no leading zeros."""
    return bool(_DECIMAL.fullmatch(text)) and -(2**63) <= int(text) < 2**63


def _compares(operator: str, value: str, bound: str) -> bool:
    """KEP-5471: the taint's number above (Gt) or below (Lt) the toleration's; what is no number is covered by none."""
    if not is_decimal(value) or not is_decimal(bound):
        return False
    return int(value) > int(bound) if operator == "Gt" else operator == "Lt" and int(value) < int(bound)


def accepts_node(spec: Any, node: Any) -> bool:
    """Whether the pod spec's nodeSelector and required node affinity want the node."""
    labels = node.metadata.labels or {}
    if not (spec.nodeSelector or {}).items() <= labels.items():
        return False
    affinity = spec.affinity.nodeAffinity if spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    if required is None:
        return True
    return any(_term_accepts(term, labels, node.metadata.name) for term in required.nodeSelectorTerms or ())


def _term_accepts(term: Any, labels: Mapping[str, str], name: str) -> bool:
    """A term without requirements wants no node."""
    expressions, fields = term.matchExpressions or (), term.matchFields or ()
    if not expressions and not fields:
        return False
    named = {"metadata.name": name}
    return all(_meets(labels, e) for e in expressions) and all(_meets(named, f) for f in fields)


def _meets(values: Mapping[str, str], requirement: Any) -> bool:
    return meets(values.get(requirement.key), requirement.operator, requirement.values or ())


def meets(value: str | None, operator: str, listed: Collection[str]) -> bool:
    """Whether a node with this value (None: without the label) is what a NodeSelectorRequirement wants."""
    match operator:
        case "In":
            return value in listed
        case "NotIn":
            return value not in listed
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or len(listed) != 1 or not all(map(NUMBER.fullmatch, (value, *listed))):
        return False
    (bound,) = map(int, listed)
    return int(value) > bound if operator == "Gt" else int(value) < bound
