"""Quotas, limits, claims and disruption budgets as a user meets them."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Kubectl


def manifest(api: str, kind: str, name: str, **fields: Any) -> str:
    return json.dumps({"apiVersion": api, "kind": kind, "metadata": {"name": name}, **fields})


def test_a_quota_is_counted_shown_and_holds(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "q", "--hard=configmaps=3,pods=1,requests.cpu=1")
    used = ("get", "quota", "q", "-o", "jsonpath={.status.used}")
    # Every namespace has the ConfigMap kube-root-ca.crt.
    kubectl.eventually(*used, becomes='{"configmaps":"1","pods":"0","requests.cpu":"0"}')
    kubectl("create", "configmap", "one")
    kubectl("create", "configmap", "two")
    refused = kubectl.fails("create", "configmap", "three")
    assert (
        'configmaps "three" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=3, '
        "limited: configmaps=3" in refused
    )
    rows = [line.split() for line in kubectl("describe", "quota", "q").splitlines()]
    assert ["Resource", "Used", "Hard"] in rows
    assert ["configmaps", "3", "3"] in rows
    kubectl("delete", "configmap", "one")
    kubectl.eventually(*used, becomes='{"configmaps":"2","pods":"0","requests.cpu":"0"}')
    kubectl("create", "configmap", "three")
    assert "must specify requests.cpu for: p" in kubectl.fails("run", "p", "--image=nginx")


def test_limits_give_defaults_and_bounds(kubectl: Kubectl) -> None:
    limits = [{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]
    kubectl("apply", "-f", "-", stdin=manifest("v1", "LimitRange", "bounds", spec={"limits": limits}))
    kubectl("run", "p", "--image=nginx")
    resources = kubectl.json("get", "pod", "p")["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
    greedy = {"spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"limits": {"cpu": "2"}}}]}}
    refused = kubectl.fails("apply", "-f", "-", stdin=manifest("v1", "Pod", "greedy", **greedy))
    assert "maximum cpu usage per Container is 1, but limit is 2" in refused
    row = ["Container", "cpu", "-", "1", "100m", "500m", "-"]
    assert row in [line.split() for line in kubectl("describe", "limits", "bounds").splitlines()]
    told = "LimitRanger plugin set: cpu request for container p; cpu limit for container p"
    assert kubectl.json("get", "pod", "p")["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == told


def test_a_namespace_shows_its_quotas_and_limits(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "best", "--hard=pods=2", "--scopes=BestEffort")
    told = kubectl.fails("create", "quota", "odd", "--hard=pods=2", "--scopes=BestEffort,NotBestEffort")
    assert 'Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes' in told
    limits = [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]
    kubectl("apply", "-f", "-", stdin=manifest("v1", "LimitRange", "bounds", spec={"limits": limits}))
    kubectl.eventually("get", "quota", "best", "-o", "jsonpath={.status.used.pods}", becomes="0")
    shown = [line.split() for line in kubectl("describe", "namespace", kubectl.namespace).splitlines()]
    assert ["Resource", "Quotas"] in shown and ["pods", "0", "2"] in shown and ["Scopes:", "BestEffort"] in shown
    assert ["Resource", "Limits"] in shown
    assert ["PersistentVolumeClaim", "storage", "1Gi", "2Gi", "-", "-", "-"] in shown
    assert kubectl("get", "quota,limits", "--no-headers", "-o", "name").split() == [
        "resourcequota/best", "limitrange/bounds"
    ]  # fmt: skip


def test_a_claim_is_bound_to_a_volume_of_the_default_class(kubectl: Kubectl) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    kubectl("apply", "-f", "-", stdin=manifest("v1", "PersistentVolumeClaim", "data", spec=spec))
    kubectl("wait", "pvc/data", "--for=jsonpath={.status.phase}=Bound", "--timeout=30s")
    row = kubectl("get", "pvc", "data", "--no-headers").split()
    assert (row[1], row[3:6]) == ("Bound", ["1Gi", "RWO", "standard"])
    volume = kubectl.json("get", "pv", row[2])
    assert volume["spec"]["claimRef"]["name"] == "data"
    assert "standard (default)" in kubectl("get", "storageclass")
    pod = {
        "containers": [{"name": "c", "image": "nginx", "volumeMounts": [{"name": "v", "mountPath": "/data"}]}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    kubectl("apply", "-f", "-", stdin=manifest("v1", "Pod", "user", spec=pod))
    kubectl("wait", "pod/user", "--for=condition=Ready", "--timeout=30s")
    assert "Used By:       user" in kubectl("describe", "pvc", "data")
    kubectl("delete", "pvc", "data", "--wait=false")
    assert kubectl("get", "pvc", "data", "--no-headers").split()[1] == "Terminating"
    kubectl("delete", "pod", "user", "--grace-period=1")
    kubectl("wait", f"pv/{row[2]}", "--for=delete", "--timeout=30s")


def test_a_disruption_budget_holds_a_drain(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("create", "poddisruptionbudget", "keep", "--selector=app=web", "--min-available=2")
    allowed = ("get", "pdb", "keep", "-o", "jsonpath={.status.disruptionsAllowed}/{.status.currentHealthy}")
    kubectl.eventually(*allowed, becomes="0/2")
    node = kubectl("get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}")
    drain = ("drain", node, "--ignore-daemonsets", "--force", "--pod-selector=app=web")
    try:
        refused = kubectl.fails(*drain, "--timeout=3s")
        assert "Cannot evict pod as it would violate the pod's disruption budget" in refused
        assert kubectl("get", "pods", "--no-headers").count("Running") == 2
        kubectl("patch", "pdb", "keep", "-p", '{"spec":{"minAvailable":1}}')
        kubectl(*drain, "--timeout=50s")
        kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        assert node not in kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    finally:
        kubectl("uncordon", node)
