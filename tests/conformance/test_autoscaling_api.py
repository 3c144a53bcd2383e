"""HorizontalPodAutoscalers as an API: every operation in both versions, and that one version shows what another wrote."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import Asker

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_autoscalers_support_every_operation(api: Asker, version: str) -> None:
    official = api.official
    asked = {"v1": official.AutoscalingV1Api, "v2": official.AutoscalingV2Api}[version]()
    labels = {"set": api.namespace}
    selector = f"set={api.namespace}"
    groups = official.AutoscalingApi().get_api_group()
    assert [v.version for v in groups.versions] == ["v2", "v1"] and groups.preferred_version.version == "v2"
    names = {(r.name, r.kind) for r in asked.get_api_resources().resources}
    assert {("horizontalpodautoscalers", "HorizontalPodAutoscaler"),
            ("horizontalpodautoscalers/status", "HorizontalPodAutoscaler")} <= names  # fmt: skip
    for name in ("a", "b", "c"):
        body = {"metadata": {"name": name, "labels": labels}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}}
        made = asked.create_namespaced_horizontal_pod_autoscaler(api.namespace, body)
        assert (made.spec.min_replicas, made.api_version) == (1, f"autoscaling/{version}")
    found = asked.list_horizontal_pod_autoscaler_for_all_namespaces(label_selector=selector)
    assert [each.metadata.name for each in found.items] == ["a", "b", "c"]
    events = official_watch(asked, api.namespace, found.metadata.resource_version)
    patched = asked.patch_namespaced_horizontal_pod_autoscaler(
        "a", api.namespace, {"metadata": {"annotations": {"patched": "true"}}, "spec": {"maxReplicas": 4}}
    )
    assert (patched.metadata.annotations["patched"], patched.spec.max_replicas) == ("true", 4)
    kind, seen = next(
        (e["type"], e["object"]) for e in events if (e["object"].metadata.annotations or {}).get("patched")
    )
    assert (kind, seen.metadata.name) == ("MODIFIED", "a")
    status = {"status": {"currentReplicas": 1, "desiredReplicas": 2}, "spec": {"maxReplicas": 99}}
    written = asked.patch_namespaced_horizontal_pod_autoscaler_status("a", api.namespace, status)
    assert (written.status.desired_replicas, written.spec.max_replicas) == (2, 4)
    read = asked.read_namespaced_horizontal_pod_autoscaler("a", api.namespace)
    read.spec.max_replicas = 5
    assert asked.replace_namespaced_horizontal_pod_autoscaler("a", api.namespace, read).spec.max_replicas == 5
    asked.delete_namespaced_horizontal_pod_autoscaler("a", api.namespace)
    asked.delete_collection_namespaced_horizontal_pod_autoscaler(api.namespace, label_selector=selector)
    assert not asked.list_namespaced_horizontal_pod_autoscaler(api.namespace).items


def official_watch(asked: Any, namespace: str, version: str) -> Any:
    from kubernetes import watch

    return watch.Watch().stream(
        asked.list_namespaced_horizontal_pod_autoscaler, namespace, resource_version=version, timeout_seconds=20
    )


def test_a_v1_target_is_a_v2_metric_and_back(api: Asker) -> None:
    v1, v2 = api.official.AutoscalingV1Api(), api.official.AutoscalingV2Api()
    body = {"metadata": {"name": "web"}, "spec": {
        "scaleTargetRef": TARGET, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70}}  # fmt: skip
    v1.create_namespaced_horizontal_pod_autoscaler(api.namespace, body)
    [metric] = v2.read_namespaced_horizontal_pod_autoscaler("web", api.namespace).spec.metrics
    assert (metric.resource.name, metric.resource.target.average_utilization) == ("cpu", 70)
    behavior = {"scaleDown": {"selectPolicy": "Disabled"}, "scaleUp": {"tolerance": "20m"}}
    v2.patch_namespaced_horizontal_pod_autoscaler("web", api.namespace, {"spec": {"behavior": behavior}})
    old = v1.read_namespaced_horizontal_pod_autoscaler("web", api.namespace)
    assert "autoscaling.alpha.kubernetes.io/behavior" in old.metadata.annotations
    old.spec.target_cpu_utilization_percentage = 40
    v1.replace_namespaced_horizontal_pod_autoscaler("web", api.namespace, old)
    new = v2.read_namespaced_horizontal_pod_autoscaler("web", api.namespace)
    assert new.spec.metrics[0].resource.target.average_utilization == 40
    assert (new.spec.behavior.scale_down.select_policy, new.spec.behavior.scale_up.tolerance) == ("Disabled", "20m")
    assert new.metadata.annotations is None
