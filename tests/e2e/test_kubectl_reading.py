"""kubectl get, describe, explain, logs, events, top of the API: everything that only reads."""

from __future__ import annotations

import json

import pytest
import yaml

DEPLOYMENT = ("create", "deployment", "web", "--image=nginx:1.27", "--replicas=2")


@pytest.fixture
def web(kubectl):
    kubectl(*DEPLOYMENT)
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    return kubectl


def test_output_formats(web):
    assert web("get", "deployment", "web", "-o", "name") == "deployment.apps/web\n"
    assert web.json("get", "deployment", "web")["spec"]["replicas"] == 2
    assert yaml.safe_load(web("get", "deployment", "web", "-o", "yaml"))["metadata"]["name"] == "web"
    assert web("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    assert web("get", "deployment", "web", "-o", "go-template={{.metadata.name}}") == "web"
    columns = web("get", "deployment", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas")
    assert columns.splitlines()[1].split() == ["web", "2"]
    wide = web("get", "deployment", "web", "-o", "wide").splitlines()
    assert wide[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert wide[1].split()[:4] == ["web", "2/2", "2", "2"]
    assert wide[1].split()[5:] == ["nginx", "nginx:1.27", "app=web"]


def test_lists_of_several_kinds(web):
    kinds = [item["kind"] for item in web.json("get", "deployments,replicasets,pods")["items"]]
    assert kinds == ["Deployment", "ReplicaSet", "Pod", "Pod"]
    assert web("get", "all", "-o", "name").count("\n") == 4


def test_selectors_and_sorting(kubectl):
    for name, tier in (("b", "front"), ("a", "back"), ("c", "front")):
        kubectl("create", "configmap", name)
        kubectl("label", "configmap", name, f"tier={tier}")
    names = ("get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}")
    assert kubectl(*names, "-l", "tier=front") == "b c"
    assert kubectl(*names, "-l", "tier in (back,middle)") == "a"
    assert kubectl(*names, "-l", "tier!=front,tier") == "a"
    assert kubectl(*names, "--field-selector", "metadata.name=c") == "c"
    by_age = kubectl("get", "configmaps", "-l", "tier", "--sort-by=.metadata.creationTimestamp", "-o", "name")
    assert len(by_age.split()) == 3
    by_name = kubectl("get", "configmaps", "-l", "tier", "--sort-by=.metadata.name", "-o", "name").split()
    assert by_name == ["configmap/a", "configmap/b", "configmap/c"]
    assert "TIER" in kubectl("get", "configmaps", "-L", "tier").splitlines()[0]
    assert "tier=back" in kubectl("get", "configmap", "a", "--show-labels")


def test_pages(kubectl):
    listing = "".join(f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i:02}}}\n" for i in range(25))
    kubectl("create", "-f", "-", stdin=listing)
    paged = kubectl("get", "configmaps", "--chunk-size=7", "-o", "name").split()
    assert paged == kubectl("get", "configmaps", "--chunk-size=0", "-o", "name").split()
    assert len(paged) == 26


def test_watching_shows_what_happens(kubectl):
    with kubectl.started("get", "configmaps", "-w", "-o", "name") as watching:
        assert watching.stdout.readline() == "configmap/kube-root-ca.crt\n"
        kubectl("create", "configmap", "a")
        assert watching.stdout.readline() == "configmap/a\n"
        kubectl("delete", "configmap", "a")
        assert watching.stdout.readline() == "configmap/a\n"


def test_what_is_not_there(kubectl):
    assert kubectl.fails("get", "pod", "nope") == 'Error from server (NotFound): pods "nope" not found\n'
    assert "the server doesn't have a resource type" in kubectl.fails("get", "nonsense")
    assert kubectl.run("get", "pods").stderr == f"No resources found in {kubectl.namespace} namespace.\n"


def test_describe(web):
    text = web("describe", "deployment", "web")
    for line in (
        "Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
        "StrategyType:           RollingUpdate",
        "RollingUpdateStrategy:  25% max unavailable, 25% max surge",
        "Image:         nginx:1.27",
        "Scaled up replica set web-",
    ):
        assert line in text
    node = web("describe", "node", "node-1")
    for word in (
        "Capacity:",
        "Allocatable:",
        "KubeletReady",
        "Non-terminated Pods:",
        "Allocated resources:",
        "PodCIDR:",
    ):
        assert word in node
    assert "Type:                     ClusterIP" in web.within("default")("describe", "service", "kubernetes")


def test_logs(kubectl):
    kubectl("run", "talker", "--image=busybox", "--restart=Never", "--", "echo", "hello from the pod")
    kubectl("wait", "pod/talker", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert kubectl("logs", "talker") == "hello from the pod\n"
    assert kubectl("logs", "talker", "--timestamps").split(" ", 1)[1] == "hello from the pod\n"
    assert kubectl("logs", "talker", "--tail=0") == ""
    assert "not found" in kubectl.fails("logs", "nobody")
    assert "container nope is not valid for pod talker" in kubectl.fails("logs", "talker", "-c", "nope")


def test_events(web):
    reasons = [e["reason"] for e in web.json("events")["items"]]
    for reason in ("ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulled", "Created", "Started"):
        assert reason in reasons
    assert "SuccessfulCreate" in web("get", "events", "--field-selector", "reason=SuccessfulCreate")
    assert "ScalingReplicaSet" in web("events", "--for", "deployment/web")


def test_explain(kubectl):
    text = kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert "GROUP:      apps" in text and "maxSurge" in text and "DESCRIPTION:" in text
    recursive = kubectl("explain", "pod.spec.containers", "--recursive")
    assert "livenessProbe\t<Probe>" in recursive and "containerPort\t<integer> -required-" in recursive
    assert 'field "nope" does not exist' in kubectl.fails("explain", "pod.nope")


def test_api_resources_and_versions(kubectl):
    resources = {line.split()[0]: line for line in kubectl("api-resources", "--no-headers").splitlines()}
    assert "deploy" in resources["deployments"] and "apps/v1" in resources["deployments"]
    assert {"pods", "nodes", "leases", "validatingadmissionpolicies", "resourceclaims"} <= set(resources)
    assert "pods" in kubectl("api-resources", "--namespaced=true", "--api-group=", "-o", "name").split()
    assert "po" in kubectl("api-resources", "--categories=all", "--no-headers")
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v2", "rbac.authorization.k8s.io/v1"} <= set(versions)


def test_cluster_info_and_version(kubectl):
    assert "is running at https://127.0.0.1:" in kubectl("cluster-info")
    version = json.loads(kubectl("version", "-o", "json"))["serverVersion"]
    assert (version["gitVersion"], version["major"], version["minor"]) == ("v1.37.0+kybern", "1", "37")


def test_raw_paths(kubectl):
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "[+]etcd ok" in kubectl("get", "--raw", "/livez?verbose")
    assert "apiserver_request_total" in kubectl("get", "--raw", "/metrics")
    assert json.loads(kubectl("get", "--raw", "/openapi/v3"))["paths"]["api/v1"]
