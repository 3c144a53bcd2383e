"""Which nodes a DaemonSet wants a pod on, and what its pods must bear and prefer to get there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kybern.api import types
from kybern.api.selectors import Requirement
from kybern.reconcile.pods import pod_from_template

__all__ = ["new_pod", "node_of", "places"]

TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
NODE_NAME = "metadata.name"


def tolerations(spec: Any) -> list[Any]:
    """The template's tolerations and those that every daemon has."""
    from kybern.api.core import Toleration

    own = list(spec.tolerations or ())
    for key, effect in (*TOLERATED, NETWORK) if spec.hostNetwork else TOLERATED:
        added = Toleration(key=key, operator="Exists", effect=effect)
        if added not in own:
            own.append(added)
    return own


def places(daemon_set: Any, node: Any) -> tuple[bool, bool]:
    """(whether a pod should start on the node, whether one that is there may stay)."""
    spec = daemon_set.spec.template.spec
    if spec.nodeName and spec.nodeName != node.metadata.name:
        return False, False
    if not _is_selected(spec, node):
        return False, False
    borne = tolerations(spec)
    unbearable = [t for t in node.spec.taints or () if not any(_tolerates(b, t) for b in borne)]
    if not any(t.effect in ("NoSchedule", "NoExecute") for t in unbearable):
        return True, True
    return False, not any(t.effect == "NoExecute" for t in unbearable)


def _tolerates(toleration: Any, taint: Any) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if (toleration.operator or "Equal") == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def _is_selected(spec: Any, node: Any) -> bool:
    labels = node.metadata.labels or {}
    if not (spec.nodeSelector or {}).items() <= labels.items():
        return False
    affinity = spec.affinity.nodeAffinity if spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    if required is None:
        return True
    return any(_term_matches(term, node) for term in required.nodeSelectorTerms or ())


def _term_matches(term: Any, node: Any) -> bool:
    expressions, fields = term.matchExpressions or (), term.matchFields or ()
    if not expressions and not fields:
        return False
    labels, name = node.metadata.labels or {}, {NODE_NAME: node.metadata.name}
    return all(_requirement(e).matches(labels) for e in expressions) and all(
        _requirement(f).matches(name) for f in fields
    )


def _requirement(expression: Any) -> Requirement:
    return Requirement(
        expression.key, _OPERATORS.get(expression.operator, expression.operator), tuple(expression.values or ())
    )


def new_pod(daemon_set: Any, node: str, revision: str) -> Any:
    """The pod for a node. The scheduler binds it; node affinity leaves it no choice."""
    from kybern.api.core import Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm

    pod = pod_from_template(daemon_set, daemon_set.spec.template)
    spec = pod.spec = types.copy(pod.spec)
    spec.tolerations = tolerations(spec)
    spec.affinity = spec.affinity or Affinity()
    spec.affinity.nodeAffinity = spec.affinity.nodeAffinity or NodeAffinity()
    only = NodeSelectorRequirement(key=NODE_NAME, operator="In", values=[node])
    terms = NodeSelector(nodeSelectorTerms=[NodeSelectorTerm(matchFields=[only])])
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution = terms
    generation = str(daemon_set.metadata.generation or 1)
    pod.metadata.labels = {
        **(pod.metadata.labels or {}),
        "controller-revision-hash": revision,
        "pod-template-generation": generation,
    }
    return pod


def node_of(pod: Any) -> str:
    """The node that a daemon pod is on, or is for."""
    if pod.spec.nodeName:
        return str(pod.spec.nodeName)
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    return next(_named(required.nodeSelectorTerms or ()), "") if required is not None else ""


def _named(terms: Iterable[Any]) -> Iterator[str]:
    for term in terms:
        for field in term.matchFields or ():
            if field.key == NODE_NAME and field.operator == "In" and len(field.values or ()) == 1:
                yield field.values[0]
