"""The objects that every cluster begins with, in short form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = [
    "NAMESPACES", "PRIORITY_CLASSES", "flow_schemas", "kubernetes_endpoints", "kubernetes_service", "kubernetes_slice",
    "priority_levels",
]  # fmt: skip

NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")

PRIORITY_CLASSES: tuple[dict[str, Any], ...] = (
    {
        "metadata": {"name": "system-node-critical"},
        "value": 2_000_001_000,
        "preemptionPolicy": "PreemptLowerPriority",
        "description": "Used for system critical pods that must not be moved from their current node.",
    },
    {
        "metadata": {"name": "system-cluster-critical"},
        "value": 2_000_000_000,
        "preemptionPolicy": "PreemptLowerPriority",
        "description": (
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
        ),
    },
)

_LEVELS = {
    # name: (shares, lendable percent, (queues, hand size, queue length) or None to reject)
    "catch-all": (5, 0, None),
    "global-default": (20, 50, (128, 6, 50)),
    "leader-election": (10, 0, (16, 4, 50)),
    "node-high": (40, 25, (64, 6, 50)),
    "system": (30, 33, (64, 6, 50)),
    "workload-high": (40, 50, (128, 6, 50)),
    "workload-low": (100, 90, (128, 6, 50)),
}

_EVERYBODY = ("Group:system:unauthenticated", "Group:system:authenticated")
_ALL = ("*", "*")
_SCHEMAS: dict[str, tuple[int, str, str, tuple[str, ...], Any]] = {
    # name: (precedence, level, distinguisher, subjects, rules); rules: _ALL or a list of PolicyRulesWithSubjects parts
    "exempt": (1, "exempt", "", ("Group:system:masters",), _ALL),
    "probes": (2, "exempt", "", _EVERYBODY, {"paths": ["/healthz", "/readyz", "/livez"]}),
    "system-leader-election": (
        100, "leader-election", "ByUser",
        ("User:system:kube-controller-manager", "User:system:kube-scheduler", "ServiceAccount:kube-system:*"),
        {"resources": [("coordination.k8s.io", ["leases"], ["get", "create", "update"], False)]},
    ),
    "system-node-high": (
        400, "node-high", "ByUser", ("Group:system:nodes",),
        {"resources": [
            ("", ["nodes", "nodes/status"], ["*"], True), ("coordination.k8s.io", ["leases"], ["*"], False),
        ]},
    ),
    "system-nodes": (500, "system", "ByUser", ("Group:system:nodes",), _ALL),
    "kube-controller-manager": (800, "workload-high", "ByNamespace", ("User:system:kube-controller-manager",), _ALL),
    "kube-scheduler": (800, "workload-high", "ByNamespace", ("User:system:kube-scheduler",), _ALL),
    "kube-system-service-accounts": (900, "workload-high", "ByNamespace", ("ServiceAccount:kube-system:*",), _ALL),
    "service-accounts": (9000, "workload-low", "ByUser", ("Group:system:serviceaccounts",), _ALL),
    "global-default": (9900, "global-default", "ByUser", _EVERYBODY, _ALL),
    "catch-all": (10000, "catch-all", "ByUser", _EVERYBODY, _ALL),
}  # fmt: skip

_AUTOUPDATE = {"apf.kubernetes.io/autoupdate-spec": "true"}


def priority_levels() -> Iterator[dict[str, Any]]:
    """PriorityLevelConfigurations."""
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    yield {"metadata": {"name": "exempt", "annotations": _AUTOUPDATE}, "spec": exempt}
    for name, (shares, lendable, queuing) in _LEVELS.items():
        response: dict[str, Any] = {"type": "Reject"}
        if queuing:
            queues, hand, length = queuing
            response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
        limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
        yield {"metadata": {"name": name, "annotations": _AUTOUPDATE}, "spec": {"type": "Limited", "limited": limited}}


def flow_schemas() -> Iterator[dict[str, Any]]:
    """FlowSchemas."""
    for name, (precedence, level, distinguisher, subjects, rules) in _SCHEMAS.items():
        spec: dict[str, Any] = {
            "matchingPrecedence": precedence,
            "priorityLevelConfiguration": {"name": level},
            "rules": [{"subjects": [_subject(s) for s in subjects]} | _rules(rules)],
        }
        if distinguisher:
            spec["distinguisherMethod"] = {"type": distinguisher}
        yield {"metadata": {"name": name, "annotations": _AUTOUPDATE}, "spec": spec}


def _subject(text: str) -> dict[str, Any]:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, account = name.partition(":")
        return {"kind": kind, "serviceAccount": {"namespace": namespace, "name": account}}
    return {"kind": kind, kind.lower(): {"name": name}}


def _rules(rules: Any) -> dict[str, Any]:
    if rules == _ALL:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
        return {"resourceRules": [everything], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}
    if "paths" in rules:
        return {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": rules["paths"]}]}
    return {
        "resourceRules": [
            {"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]}
            | ({"clusterScope": True} if cluster else {})
            for group, resources, verbs, cluster in rules["resources"]
        ]
    }


_LABELS = {"component": "apiserver", "provider": "kubernetes"}


def kubernetes_service(address: str) -> dict[str, Any]:
    """The Service through which pods find the API."""
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": _LABELS},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilyPolicy": "SingleStack",
            "ipFamilies": ["IPv6" if ":" in address else "IPv4"],
            "ports": [{"name": "https", "port": 443, "targetPort": 6443, "protocol": "TCP"}],
        },
    }


def kubernetes_endpoints(address: str, port: int) -> dict[str, Any]:
    """Its Endpoints."""
    return {
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
        ],
    }  # fmt: skip


def kubernetes_slice(address: str, port: int) -> dict[str, Any]:
    """Its EndpointSlice."""
    return {
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }  # fmt: skip
