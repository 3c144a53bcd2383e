"""HorizontalPodAutoscalers in both versions, and Scale."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.autoscaling import scale
from kybern.api.autoscaling.horizontalpodautoscaler import V1, V2
from kybern.api.field import Errors
from tests.api.judge import NOW, changed, complaints, created, read, shown, texts
from tests.api.samples import autoscaler


def cpu(**target: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", **target}}}


PODS = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "100"}}}
QUEUE = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}},
}
INGRESS = {
    "type": "Object",
    "object": {
        "describedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"},
        "metric": {"name": "hits"},
        "target": {"type": "Value", "value": "2k"},
    },
}
UP = {
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
    "selectPolicy": "Max",
    "stabilizationWindowSeconds": 0,
}
DOWN = {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}], "selectPolicy": "Max"}


def test_without_a_metric_cpu_is_kept_at_eighty_percent():
    spec = shown(created(V2, autoscaler()))["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"] == [cpu(averageUtilization=80)]
    assert "behavior" not in spec


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ({}, {"scaleUp": UP, "scaleDown": DOWN}),
        (
            {"scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Min"}},
            {"scaleUp": UP, "scaleDown": {**DOWN, "stabilizationWindowSeconds": 0, "selectPolicy": "Min"}},
        ),
        (
            {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}},
            {"scaleUp": {**UP, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}, "scaleDown": DOWN},
        ),
    ],
)
def test_only_what_a_behavior_leaves_out_is_filled_in(given, filled):
    assert shown(created(V2, autoscaler(behavior=given)))["spec"]["behavior"] == filled


M = "spec.metrics[0]"
RULES: list[tuple[dict[str, Any], list[str]]] = [
    (autoscaler(), []),
    (autoscaler(metrics=[cpu(averageUtilization=50), PODS, QUEUE, INGRESS]), []),
    (autoscaler(minReplicas=-1), ["spec.minReplicas: Invalid value: -1: must be greater than or equal to 0"]),
    (autoscaler(minReplicas=0), [
        "spec.metrics: Forbidden: "
        "must specify at least one Object or External metric to support scaling to zero replicas",
    ]),
    (autoscaler(maxReplicas=0), [
        "spec.maxReplicas: Required value: must be set and greater than 0",
        "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
    ]),
    (
        autoscaler(scaleTargetRef={"apiVersion": "v1", "kind": "Pod", "name": "a/b"}),
        [
            "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
            'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
        ],
    ),
    (autoscaler(scaleTargetRef={"apiVersion": "v1", "kind": "ReplicationController", "name": "a"}), []),
    (autoscaler(metrics=[{}]), [
        f"{M}.type: Required value: must specify a metric source type",
        f'{M}.type: Unsupported value: "": '
        'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
    ]),
    (autoscaler(metrics=[{**PODS, "type": "Resource"}]), [
        f"{M}.resource: Required value: must populate information for the given metric source",
    ]),
    (autoscaler(metrics=[{**PODS, **QUEUE}]), [
        f"{M}.pods: Forbidden: must populate the given metric source only",
    ]),
    (autoscaler(metrics=[cpu()]), [
        f"{M}.resource.target.averageUtilization: Required value: "
        "must set either a target raw value or a target utilization",
    ]),
    (autoscaler(metrics=[cpu(averageUtilization=0, averageValue="0")]), [
        f'{M}.resource.target.averageValue: Invalid value: "0": must be positive',
        f"{M}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        f"{M}.resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
    ]),
    (
        autoscaler(metrics=[{"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": "", "target": {"type": "Utilization", "averageUtilization": 5}}}]),
        [f"{M}.containerResource.container: Required value: must specify a container"],
    ),
    (autoscaler(metrics=[changed(QUEUE, {"external.target": {"type": "Value"}})]), [
        f"{M}.external.target.averageValue: Required value: "
        "must set either a target value for metric or a per-pod target",
    ]),
    (autoscaler(metrics=[changed(INGRESS, {"object.metric": {}, "object.target": {"type": "Value"}})]), [
        f"{M}.object.metric.name: Required value: must specify a metric name",
        f"{M}.object.target.averageValue: Required value: must set either a target value or averageValue",
    ]),
    (autoscaler(behavior={"scaleUp": {"stabilizationWindowSeconds": 3601, "selectPolicy": "Any"}}), [
        "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"',
    ]),
    (autoscaler(behavior={"scaleUp": {"policies": [{"type": "Some", "value": 0, "periodSeconds": 1801}]}}), [
        'spec.behavior.scaleUp.policies[0].type: Unsupported value: "Some": supported values: "Percent", "Pods"',
        "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
        "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "expected"), RULES)
def test_a_bad_autoscaler_is_refused_with_every_reason(plain, expected):
    assert complaints(V2, plain) == expected


def through_v1(plain: dict[str, Any]) -> dict[str, Any]:
    """A v2 object, read and written by a client of v1."""
    assert V1.convert_from_storage is not None
    assert V1.convert_to_storage is not None
    old_form = V1.convert_from_storage(created(V2, plain))
    V1.default(old_form)
    return shown(V1.convert_to_storage(read(V1, shown(old_form))))


@pytest.mark.parametrize(
    "plain",
    [
        autoscaler(),
        autoscaler(minReplicas=2, metrics=[PODS]),
        autoscaler(metrics=[QUEUE, INGRESS, cpu(averageUtilization=30)]),
        autoscaler(behavior={"scaleDown": {"selectPolicy": "Disabled"}}),
        changed(autoscaler(), {"metadata.annotations": {"a": "b"}}),
    ],
)
def test_nothing_is_lost_by_a_client_of_v1(plain):
    assert through_v1(plain) == shown(created(V2, plain))


def test_v1_shows_the_cpu_target_and_keeps_the_rest_in_annotations():
    assert V1.convert_from_storage is not None
    made = V1.convert_from_storage(created(V2, autoscaler(metrics=[cpu(averageUtilization=30), PODS])))
    assert made.spec.targetCPUUtilizationPercentage == 30
    assert list(made.metadata.annotations) == ["autoscaling.alpha.kubernetes.io/metrics"]
    assert '"metricName":"rps"' in made.metadata.annotations["autoscaling.alpha.kubernetes.io/metrics"]


def test_what_is_measured_survives_too():
    assert V1.convert_from_storage is not None
    assert V1.convert_to_storage is not None
    measured = [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 10}}},
        {"type": "Pods", "pods": {"metric": {"name": "rps"}, "current": {"averageValue": "5"}}},
    ]
    stored = types.from_plain(V2.struct, changed(shown(created(V2, autoscaler())), {"status": {
        "currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": measured,
        "conditions": [{"type": "AbleToScale", "status": "True"}],
    }}))  # fmt: skip
    old_form = V1.convert_from_storage(stored)
    assert old_form.status.currentCPUUtilizationPercentage == 10
    back = shown(V1.convert_to_storage(old_form))["status"]
    assert sorted(m["type"] for m in back["currentMetrics"]) == ["Pods", "Resource"]
    assert back["conditions"][0]["type"] == "AbleToScale"


ROWS: list[tuple[dict[str, Any], list[dict[str, Any]], str]] = [
    (autoscaler(), [], "cpu: <unknown>/80%"),
    (
        autoscaler(),
        [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}],
        "cpu: 12%/80%",
    ),
    (autoscaler(metrics=[PODS, QUEUE, INGRESS]), [], "<unknown>/100, <unknown>/30 + 1 more..."),
    (
        autoscaler(metrics=[changed(QUEUE, {"external.target": {"type": "AverageValue", "averageValue": "3"}})]),
        [{"type": "External", "external": {"metric": {"name": "queue"}, "current": {"averageValue": "2"}}}],
        "2/3 (avg)",
    ),
]


@pytest.mark.parametrize(("plain", "measured", "targets"), ROWS)
def test_a_row_of_the_table(plain, measured, targets):
    status = {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": measured}
    made = types.from_plain(V2.struct, changed(shown(created(V2, plain)), {"status": status}))
    assert V2.row is not None
    assert V2.row(made, NOW) == ["web", "Deployment/web", targets, "1", 5, 2, "0s"]


def test_both_versions_have_the_same_row():
    assert V1.convert_from_storage is not None
    assert V1.row is not None
    assert V2.row is not None
    made = created(V2, autoscaler(metrics=[PODS]))
    assert V1.row(V1.convert_from_storage(made), NOW) == V2.row(made, NOW)


def test_nothing_is_scaled_below_zero():
    errors = Errors()
    cls = types.struct("autoscaling", "v1", "Scale")
    scale.validate(types.from_plain(cls, {"spec": {"replicas": -1}}), errors)
    assert texts(errors) == ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
