"""Autoscaling in a whole cluster: every scalable kind, every source of metrics, on fake nodes and a clock that jumps."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from kybern.api import types
from kybern.api.apps import DaemonSet, Deployment, ReplicaSet, StatefulSet
from kybern.api.autoscaling import HorizontalPodAutoscaler
from kybern.api.core import ConfigMap, Event, Namespace, Node, Pod, ReplicationController, Service
from kybern.clock import VirtualClock
from kybern.cluster.cluster import Cluster, running
from kybern.config import Config

pytestmark = pytest.mark.anyio


async def make(cluster: Cluster, kind: type[Any], data: dict[str, Any]) -> Any:
    data["metadata"].setdefault("namespace", "default")
    return await cluster.client.create(types.from_plain(kind, data))


def workload(kind: type[Any] = Deployment, replicas: int = 1, **annotations: str) -> dict[str, Any]:
    labels = {"app": "web"}
    container = {"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    notes = {
        key.replace("_", "-").replace("metric-", "metrics.kybern.dev/"): value for key, value in annotations.items()
    }
    notes = {key if "/" in key else f"fake.kybern.dev/{key}": value for key, value in notes.items()}
    template = {"metadata": {"labels": labels, "annotations": notes}, "spec": {"containers": [container]}}
    selector = labels if kind is ReplicationController else {"matchLabels": labels}
    return {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": selector, "template": template}}


def autoscaler(*metrics: dict[str, Any], kind: type[Any] = Deployment, most: int = 10, **spec: Any) -> dict[str, Any]:
    about = types.kind_of(kind)
    reference = {"apiVersion": about.api_version, "kind": about.kind, "name": "web"}
    return {
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": reference, "maxReplicas": most, "metrics": list(metrics), **spec},
    }


def cpu(percent: int = 50) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


async def replicas(cluster: Cluster, kind: type[Any] = Deployment) -> int:
    return int((await cluster.client.get(kind, "web", "default")).spec.replicas or 0)


async def read(cluster: Cluster, path: str) -> Any:
    code, body = await cluster.client.raw("GET", path)
    assert code == 200, body
    return json.loads(body)


@pytest.mark.parametrize("kind", [Deployment, StatefulSet, ReplicaSet, ReplicationController])
async def test_scales_every_kind_that_has_replicas(kybern_cluster: Cluster, kind: type[Any]) -> None:
    await make(kybern_cluster, kind, workload(kind, cpu="200m / peers"))
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(cpu(), kind=kind))
    await kybern_cluster.clock.advance(120)
    assert await replicas(kybern_cluster, kind) == 4


async def test_follows_a_load_up_and_down_through_its_window(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload(cpu="(400m if now % 3600 < 600 else 50m) / peers"))
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(cpu()))
    seen = []
    for _ in range(16):
        await kybern_cluster.clock.advance(60)
        seen.append(await replicas(kybern_cluster))
    assert seen[2:13] == [8] * 11 and seen[-1] == 1
    status = (await kybern_cluster.client.get(HorizontalPodAutoscaler, "web", "default")).status
    assert status.lastScaleTime > "2026-01-01T00:14:00Z"


async def test_one_container_of_several(kybern_cluster: Cluster) -> None:
    made = workload()
    template = made["spec"]["template"]
    template["spec"]["containers"].append({"name": "side", "image": "nginx"})
    template["metadata"]["annotations"] = {
        "fake.kybern.dev/c.cpu": "200m / peers", "fake.kybern.dev/side.cpu": "3"
    }  # fmt: skip
    target = {"type": "Utilization", "averageUtilization": 50}
    metric = {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": target}}
    await make(kybern_cluster, Deployment, made)
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(metric))
    await kybern_cluster.clock.advance(120)
    assert await replicas(kybern_cluster) == 4


async def test_pods_metrics_come_from_annotations(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload(metric_rps="30"))
    rate = {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler({"type": "Pods", "pods": rate}, most=3))
    await kybern_cluster.clock.advance(60)
    assert await replicas(kybern_cluster) == 3
    served = await read(kybern_cluster, "/apis/custom.metrics.k8s.io/v1beta2")
    assert [r["name"] for r in served["resources"]] == ["pods/rps"]
    values = await read(
        kybern_cluster, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/rps?labelSelector=app=web"
    )
    assert {item["value"] for item in values["items"]} == {"30"} and len(values["items"]) == 3


async def test_object_metrics_come_from_annotations_of_any_kind(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload())
    metadata = {"name": "front", "annotations": {"metrics.kybern.dev/rps": "100 + t"}}
    await make(kybern_cluster, Service, {"metadata": metadata, "spec": {"ports": [{"port": 80}]}})
    about = {"apiVersion": "v1", "kind": "Service", "name": "front"}
    target = {"type": "AverageValue", "averageValue": "50"}
    metric = {"type": "Object", "object": {"metric": {"name": "rps"}, "describedObject": about, "target": target}}
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(metric))
    await kybern_cluster.clock.advance(40)
    assert await replicas(kybern_cluster) == 3
    await kybern_cluster.clock.advance(180)
    assert await replicas(kybern_cluster) == 6


CUSTOM = "/apis/custom.metrics.k8s.io"


async def annotate(cluster: Cluster, kind: type[Any], name: str, namespace: str = "", **metrics: str) -> None:
    notes = {f"metrics.kybern.dev/{metric}": value for metric, value in metrics.items()}
    await cluster.client.patch(kind, name, namespace, {"metadata": {"annotations": notes}})


async def test_a_metrics_selector_chooses_among_its_series(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload(metric_rps="{verb=GET,code=200} 10; {verb=POST} 30; {verb=PUT} t"))
    by_verb = {"name": "rps", "selector": {"matchLabels": {"verb": "POST"}}}
    pods = {"metric": by_verb, "target": {"type": "AverageValue", "averageValue": "10"}}
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler({"type": "Pods", "pods": pods}, most=3))
    await kybern_cluster.clock.advance(60)
    status = (await kybern_cluster.client.get(HorizontalPodAutoscaler, "web", "default")).status
    assert (await replicas(kybern_cluster), status.currentMetrics[0].pods.current.averageValue) == (3, "30")

    async def measured(version: str, selector: str) -> Any:
        base = f"{CUSTOM}/{version}/namespaces/default/pods/*/rps"
        return (await read(kybern_cluster, f"{base}?metricLabelSelector={selector}"))["items"][0]

    assert (await measured("v1beta2", "verb in (GET,POST)"))["value"] == "40"
    expressed = {"matchExpressions": [{"key": "verb", "operator": "In", "values": ["GET", "POST"]}]}
    assert (await measured("v1beta2", "verb in (GET,POST)"))["metric"] == {"name": "rps", "selector": expressed}
    old = await measured("v1beta1", "verb=GET")
    assert (old["metricName"], old["selector"], old["value"]) == ("rps", {"matchLabels": {"verb": "GET"}}, "10")
    code, body = await kybern_cluster.client.raw(
        "GET", f"{CUSTOM}/v1beta2/namespaces/default/pods/*/rps?metricLabelSelector=verb%3DHEAD"
    )
    assert code == 404 and json.loads(body)["message"] == (
        "the server could not find the metric rps for pods with selector verb=HEAD"
    )


async def test_custom_metrics_of_every_kind_are_listed_and_read(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, StatefulSet, workload(StatefulSet))
    await kybern_cluster.clock.advance(5)
    await annotate(kybern_cluster, StatefulSet, "web", "default", queue="7")
    await annotate(kybern_cluster, Node, "node-1", watts="150")
    await annotate(kybern_cluster, Namespace, "default", visits="3")
    await kybern_cluster.clock.advance(1)
    for version in ("v1beta1", "v1beta2"):
        served = (await read(kybern_cluster, f"{CUSTOM}/{version}"))["resources"]
        assert [(r["name"], r["namespaced"]) for r in served] == [
            ("namespaces/visits", False), ("nodes/watts", False), ("statefulsets.apps/queue", True)
        ]  # fmt: skip
        assert {(r["kind"], *r["verbs"]) for r in served} == {("MetricValueList", "get")}
        base = f"{CUSTOM}/{version}"
        for path, value in (
            ("namespaces/default/statefulsets.apps/web/queue", "7"),
            ("nodes/node-1/watts", "150"),
            ("nodes/*/watts", "150"),
            ("namespaces/default/metrics/visits", "3"),
        ):
            found = await read(kybern_cluster, f"{base}/{path}")
            assert found["apiVersion"] == f"custom.metrics.k8s.io/{version}"
            assert [item["value"] for item in found["items"]] == [value]
        for path in ("nodes/node-1/volts", "namespaces/default/nodes/node-1/watts", "balloons/a/b", "nodes/none/watts"):
            assert (await kybern_cluster.client.raw("GET", f"{base}/{path}"))[0] == 404
    await kybern_cluster.client.patch(
        Node, "node-1", "", {"metadata": {"annotations": {"metrics.kybern.dev/watts": None}}}
    )
    await kybern_cluster.clock.advance(1)
    served = (await read(kybern_cluster, f"{CUSTOM}/v1beta1"))["resources"]
    assert "nodes/watts" not in [r["name"] for r in served]


async def test_an_object_that_has_no_such_metric_is_told(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload())
    target = {"type": "Value", "value": "1"}
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    balloon = {"apiVersion": "sky.example/v1", "kind": "Balloon", "name": "red"}
    for about, told in (
        (ingress, "the server could not find the metric rps for ingresses.networking.k8s.io front"),
        (balloon, "unable to map kind Balloon.sky.example to resource: "
                  'no matches for kind "Balloon" in group "sky.example"'),
    ):  # fmt: skip
        metric = {"type": "Object", "object": {"metric": {"name": "rps"}, "describedObject": about, "target": target}}
        await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(metric))
        await kybern_cluster.clock.advance(2)
        made = await kybern_cluster.client.get(HorizontalPodAutoscaler, "web", "default")
        active = next(c for c in made.status.conditions if c.type == "ScalingActive")
        name = f"{about['kind']} default/{about['name']}"
        assert active.message == (
            f"the HPA was unable to compute the replica count: unable to get metric rps on {name}: "
            f"unable to fetch metrics from custom metrics API: {told}"
        )
        await kybern_cluster.client.delete(HorizontalPodAutoscaler, "web", "default")


async def test_external_metrics_come_from_config_maps(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload())
    for queue, length in (("a", "30"), ("b", "500")):
        labels = {"metrics.kybern.dev/source": "external", "queue": queue}
        await make(
            kybern_cluster, ConfigMap, {"metadata": {"name": queue, "labels": labels}, "data": {"length": length}}
        )
    named = {"name": "length", "selector": {"matchLabels": {"queue": "a"}}}
    target = {"type": "AverageValue", "averageValue": "10"}
    metric = {"type": "External", "external": {"metric": named, "target": target}}
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(metric))
    await kybern_cluster.clock.advance(30)
    assert await replicas(kybern_cluster) == 3
    await kybern_cluster.client.patch(ConfigMap, "a", "default", {"data": {"length": "70"}})
    await kybern_cluster.clock.advance(30)
    assert await replicas(kybern_cluster) == 7
    served = await read(kybern_cluster, "/apis/external.metrics.k8s.io/v1beta1")
    assert [(r["name"], r["kind"]) for r in served["resources"]] == [("length", "ExternalMetricValue")]


async def test_a_made_up_metric_that_means_nothing_is_told_with_its_place(kybern_cluster: Cluster) -> None:
    labels = {"metrics.kybern.dev/source": "external"}
    await make(kybern_cluster, ConfigMap, {"metadata": {"name": "m", "labels": labels}, "data": {"length": "long"}})
    await kybern_cluster.clock.advance(1)
    code, body = await kybern_cluster.client.raw(
        "GET", "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/length"
    )
    assert code == 500 and "ConfigMap default/m: length: 'long' is not known" in json.loads(body)["message"]


async def test_a_target_that_has_no_scale_is_told(kybern_cluster: Cluster) -> None:
    made = workload(DaemonSet)
    del made["spec"]["replicas"]
    await make(kybern_cluster, DaemonSet, made)
    await make(kybern_cluster, HorizontalPodAutoscaler, autoscaler(cpu(), kind=DaemonSet))
    await kybern_cluster.clock.advance(2)
    status = (await kybern_cluster.client.get(HorizontalPodAutoscaler, "web", "default")).status
    assert [(c.type, c.status, c.reason, c.message) for c in status.conditions] == [
        ("AbleToScale", "False", "FailedGetScale",
         "the HPA controller was unable to get the target's current scale: "
         "the server could not find the requested resource"),
    ]  # fmt: skip


async def test_without_metrics_apis_it_is_told_which_one_is_missing(kybern_config: Config) -> None:
    metrics = [cpu(), {"type": "Object", "object": {
        "metric": {"name": "rps"}, "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "kubernetes"},
        "target": {"type": "Value", "value": "1"}}},
        {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1"}}},
    ]  # fmt: skip
    config = attrs.evolve(kybern_config, plugins=attrs.evolve(kybern_config.plugins, disable=["metrics"]))
    async with running(config, clock=VirtualClock(1_767_225_600.0)) as cluster:
        await make(cluster, Deployment, workload())
        await make(cluster, HorizontalPodAutoscaler, autoscaler(*metrics))
        await cluster.clock.advance(2)
        told = {event.message.rpartition(" metrics API: ")[2] for event in (await cluster.client.list(Event)).items
                if event.reason.startswith("FailedGet")}  # fmt: skip
    assert told == {
        "the server could not find the requested resource (get pods.metrics.k8s.io)",
        "no custom metrics API (custom.metrics.k8s.io) registered",
        "the server could not find the requested resource (get queue.external.metrics.k8s.io)",
    }


async def test_metrics_of_pods_and_nodes(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload(replicas=2, cpu="250m", memory="64Mi"))
    await kybern_cluster.clock.advance(5)
    stable = await read(kybern_cluster, "/apis/metrics.k8s.io/v1/namespaces/default/pods")
    assert {item["apiVersion"] for item in stable["items"]} == {"metrics.k8s.io/v1"}
    versions = (await read(kybern_cluster, "/apis/metrics.k8s.io"))["versions"]
    assert [v["version"] for v in versions] == ["v1", "v1beta1"]
    base = "/apis/metrics.k8s.io/v1beta1"
    listed = await read(kybern_cluster, f"{base}/namespaces/default/pods?labelSelector=app%3Dweb")
    assert listed["kind"] == "PodMetricsList" and len(listed["items"]) == 2
    one = await read(kybern_cluster, f"{base}/namespaces/default/pods/{listed['items'][0]['metadata']['name']}")
    assert one["containers"] == [{"name": "c", "usage": {"cpu": "250m", "memory": "65536Ki"}}]
    assert (await read(kybern_cluster, f"{base}/namespaces/kube-system/pods"))["items"] == []
    assert (await read(kybern_cluster, f"{base}/pods?labelSelector=app%3Dother"))["items"] == []
    nodes = (await read(kybern_cluster, f"{base}/nodes"))["items"]
    assert [n["usage"] for n in nodes] == [{"cpu": "500m", "memory": "131072Ki"}]
    await make(kybern_cluster, Pod, {"metadata": {"name": "late"}, "spec": {
        "schedulerName": "nobody", "containers": [{"name": "c", "image": "nginx"}]}})  # fmt: skip
    for path, told in (
        ("nodes/none", 'nodes "none" not found'),
        ("namespaces/default/pods/none", 'pods "none" not found'),
        ("namespaces/default/pods/late", 'podmetrics.metrics.k8s.io "default/late" not found'),
    ):
        code, body = await kybern_cluster.client.raw("GET", f"{base}/{path}")
        assert (code, json.loads(body)["message"]) == (404, told)
    for path, wrong in (
        (f"{base}/nodes/none", 404),
        (f"{base}/namespaces/default/pods/none", 404),
        (f"{base}/pods?labelSelector=a=b=c", 400),
    ):
        code, body = await kybern_cluster.client.raw("GET", path)
        assert code == wrong, body
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await kybern_cluster.client.raw(method, f"{base}/nodes/node-1", b"{}"))[0] == 405
    assert (await kybern_cluster.client.raw("GET", f"{base}/nodes?watch=true"))[0] == 405


async def test_a_deleted_pod_has_no_metrics(kybern_cluster: Cluster) -> None:
    made = await make(
        kybern_cluster, Pod, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    )
    await kybern_cluster.clock.advance(5)
    assert len((await read(kybern_cluster, "/apis/metrics.k8s.io/v1beta1/pods"))["items"]) == 1
    await kybern_cluster.client.delete(Pod, made.metadata.name, "default", grace_period=0)
    await kybern_cluster.clock.advance(1)
    assert (await read(kybern_cluster, "/apis/metrics.k8s.io/v1beta1/pods"))["items"] == []


async def test_tables_and_discovery_of_metrics(kybern_cluster: Cluster) -> None:
    await make(kybern_cluster, Deployment, workload(cpu="1500m"))
    await kybern_cluster.clock.advance(5)
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    code, body = await kybern_cluster.client.raw("GET", "/apis/metrics.k8s.io/v1beta1/pods", b"", accept)
    table = json.loads(body)
    assert code == 200 and [c["name"] for c in table["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert table["rows"][0]["cells"][1:] == ["1500m", "8192Ki", "15s"]
    assert table["rows"][0]["object"]["metadata"]["labels"]["app"] == "web"
    resources = (await read(kybern_cluster, "/apis/metrics.k8s.io/v1beta1"))["resources"]
    assert [(r["name"], r["kind"], r["namespaced"], r["verbs"]) for r in resources] == [
        ("nodes", "NodeMetrics", False, ["get", "list"]),
        ("pods", "PodMetrics", True, ["get", "list"]),
    ]
    for version in ("v1", "v1beta1"):
        document = await read(kybern_cluster, f"/openapi/v3/apis/metrics.k8s.io/{version}")
        path = document["paths"][f"/apis/metrics.k8s.io/{version}/namespaces/{{namespace}}/pods/{{name}}"]
        assert path["get"]["operationId"] == f"readMetrics{version.capitalize()}NamespacedPodMetrics"
        made = document["components"]["schemas"][f"io.k8s.metrics.pkg.apis.metrics.{version}.PodMetrics"]
        assert list(made["properties"]) == ["apiVersion", "containers", "kind", "metadata", "timestamp", "window"]
    assert (
        "io.k8s.metrics.pkg.apis.metrics.v1.NodeMetrics" in (await read(kybern_cluster, "/openapi/v2"))["definitions"]
    )
    assert "apis/custom.metrics.k8s.io/v1beta2" not in (await read(kybern_cluster, "/openapi/v3"))["paths"]


async def test_who_may_view_a_namespace_may_see_its_metrics(kybern_cluster: Cluster) -> None:
    from kybern.api.rbac import RoleBinding
    from kybern.apiserver.user import User

    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    await make(kybern_cluster, RoleBinding, {"metadata": {"name": "jane"}, "subjects": [subject], "roleRef": role})
    await kybern_cluster.clock.advance(5)
    jane = kybern_cluster.client.as_user(User("jane"))
    base = "/apis/metrics.k8s.io/v1beta1"
    codes = [(await jane.raw("GET", f"{base}{path}"))[0] for path in ("/namespaces/default/pods", "/pods", "/nodes")]
    assert codes == [200, 403, 403]
