"""Which nodes a DaemonSet wants a pod on, and what its pods must bear and prefer to get there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kybern.api import types
from kybern.api.placement import accepts_node, untolerated
from kybern.reconcile.pods import pod_from_template
from kybern_controllers_workloads.history import HASH_LABEL

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
NODE_NAME = "metadata.name"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""The server counts the changes of the template in this annotation."""


def tolerations(spec: Any) -> list[Any]:
    """The template's tolerations and those that every daemon has. These bear their taints for ever: one of the
    template's that says the same for a time only gives way."""
    from kybern.api.core import Toleration

    effects = (*TOLERATED, NETWORK) if spec.hostNetwork else TOLERATED
    added = [Toleration(key=key, operator="Exists", effect=effect) for key, effect in effects]
    own = [t for t in spec.tolerations or () if not any(_means_the_same(t, always) for always in added)]
    return own + added


def _means_the_same(a: Any, b: Any) -> bool:
    return bool((a.key, a.operator, a.value, a.effect) == (b.key, b.operator, b.value, b.effect))


def places(daemon_set: Any, node: Any) -> tuple[bool, bool]:
    """(whether a pod should start on the node, whether one that is there may stay)."""
    spec = daemon_set.spec.template.spec
    if (spec.nodeName and spec.nodeName != node.metadata.name) or not accepts_node(spec, node):
        return False, False
    effects = {taint.effect for taint in untolerated(node.spec.taints, tolerations(spec))}
    return effects.isdisjoint(("NoSchedule", "NoExecute")), "NoExecute" not in effects


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
    pod.metadata.labels = {**(pod.metadata.labels or {}), HASH_LABEL: revision}
    if generation := (daemon_set.metadata.annotations or {}).get(TEMPLATE_GENERATION):
        pod.metadata.labels["pod-template-generation"] = generation
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
