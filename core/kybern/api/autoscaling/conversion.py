"""autoscaling/v1 HorizontalPodAutoscalers are stored as autoscaling/v2; this turns one into the other.

v1 only knows a target for CPU. What else a v2 object says travels in annotations of the v1 form,
as JSON, so that reading and writing through v1 loses nothing.
"""

from __future__ import annotations

import json
from typing import Any

from kybern.api import autoscaling, types

__all__ = ["CPU_PERCENT", "from_v1", "to_v1"]

CPU_PERCENT = 80
PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR, CONDITIONS, CURRENT = (
    PREFIX + name for name in ("metrics", "behavior", "conditions", "current-metrics")
)
ANNOTATIONS = (METRICS, BEHAVIOR, CONDITIONS, CURRENT)


def _struct() -> Any:
    return types.struct("autoscaling", "v1", "HorizontalPodAutoscaler")


def cpu_metric(percent: int) -> Any:
    """The v2 metric that a v1 CPU target means."""
    target = autoscaling.MetricTarget(type="Utilization", averageUtilization=percent)
    return autoscaling.MetricSpec(type="Resource", resource=autoscaling.ResourceMetricSource(name="cpu", target=target))


def from_v1(obj: Any) -> Any:
    """v1 -> v2."""
    notes = dict(obj.metadata.annotations or {})
    kept = {key: notes.pop(key) for key in ANNOTATIONS if key in notes}
    spec, status = obj.spec, obj.status
    plain: dict[str, Any] = {
        "metadata": {**types.to_plain(obj.metadata), "annotations": notes},
        "spec": {
            "scaleTargetRef": types.to_plain(spec.scaleTargetRef),
            "minReplicas": spec.minReplicas,
            "maxReplicas": spec.maxReplicas,
            "metrics": [_metric_from_v1(metric) for metric in _read(kept, METRICS)],
            "behavior": _read(kept, BEHAVIOR) or None,
        },
        "status": {
            "observedGeneration": status.observedGeneration,
            "lastScaleTime": status.lastScaleTime,
            "currentReplicas": status.currentReplicas,
            "desiredReplicas": status.desiredReplicas,
            "currentMetrics": [_current_from_v1(metric) for metric in _read(kept, CURRENT)] or None,
            "conditions": _read(kept, CONDITIONS) or None,
        },
    }
    made = types.from_plain(autoscaling.HorizontalPodAutoscaler, _without_none(plain))
    made.status.desiredReplicas = status.desiredReplicas
    percent = spec.targetCPUUtilizationPercentage
    if percent is not None or not made.spec.metrics:
        made.spec.metrics = [*(made.spec.metrics or []), cpu_metric(CPU_PERCENT if percent is None else percent)]
    if status.currentCPUUtilizationPercentage is not None:
        made.status.currentMetrics = [
            *(made.status.currentMetrics or []),
            _cpu_status(status.currentCPUUtilizationPercentage),
        ]
    return made


def _cpu_status(percent: int) -> Any:
    current = autoscaling.MetricValueStatus(averageUtilization=percent)
    resource = autoscaling.ResourceMetricStatus(name="cpu", current=current)
    return autoscaling.MetricStatus(type="Resource", resource=resource)


def to_v1(obj: Any) -> Any:
    """v2 -> v1."""
    notes = dict(obj.metadata.annotations or {})
    spec, status = obj.spec, obj.status
    target = next((m for m in spec.metrics or () if _is_cpu(m.resource, "target")), None)
    current = next((m for m in status.currentMetrics or () if _is_cpu(m.resource, "current")), None)
    others = [m for m in spec.metrics or () if not _is_cpu(m.resource, "target")]
    other_values = [m for m in status.currentMetrics or () if not _is_cpu(m.resource, "current")]
    for key, value in (
        (METRICS, [_metric_to_v1(types.to_plain(m)) for m in others]),
        (CURRENT, [_current_to_v1(types.to_plain(m)) for m in other_values]),
        (CONDITIONS, types.to_plain(status.conditions or [])),
        (BEHAVIOR, types.to_plain(spec.behavior) if spec.behavior is not None else None),
    ):
        if value:
            notes[key] = json.dumps(value, separators=(",", ":"))
    plain = {
        "metadata": {**types.to_plain(obj.metadata), "annotations": notes},
        "spec": {
            "scaleTargetRef": types.to_plain(spec.scaleTargetRef),
            "minReplicas": spec.minReplicas,
            "maxReplicas": spec.maxReplicas,
            "targetCPUUtilizationPercentage": target.resource.target.averageUtilization if target is not None else None,
        },
        "status": {
            "observedGeneration": status.observedGeneration,
            "lastScaleTime": status.lastScaleTime,
            "currentReplicas": status.currentReplicas or 0,
            "desiredReplicas": status.desiredReplicas,
            "currentCPUUtilizationPercentage": current.resource.current.averageUtilization
            if current is not None
            else None,
        },
    }
    return types.from_plain(_struct(), _without_none(plain))


def _is_cpu(resource: Any | None, side: str) -> bool:
    return resource is not None and resource.name == "cpu" and getattr(resource, side).averageUtilization is not None


def _read(notes: dict[str, str], key: str) -> Any:
    """An annotation's JSON; what cannot be read counts as absent, as upstream has it."""
    try:
        return json.loads(notes.get(key, "")) or []
    except ValueError:
        return []


def _without_none(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _without_none(value) for key, value in plain.items() if value is not None}
    return [_without_none(item) for item in plain] if isinstance(plain, list) else plain


_SOURCES = ("object", "pods", "resource", "containerResource", "external")


def _metric_to_v1(metric: dict[str, Any]) -> dict[str, Any]:
    """A v2 MetricSpec in v1's older spelling."""
    kind = next((name for name in _SOURCES if metric.get(name)), "")
    if not kind:
        return {"type": metric.get("type")}
    source = metric[kind]
    target, named = source.get("target", {}), source.get("metric", {})
    average, value = target.get("averageValue"), target.get("value")
    old = {"metricName": named.get("name"), "selector": named.get("selector"), "targetAverageValue": average}
    if kind in ("resource", "containerResource"):
        old = {"name": source.get("name"), "container": source.get("container"), "targetAverageValue": average}
        old["targetAverageUtilization"] = target.get("averageUtilization")
    elif kind == "external":
        old["metricSelector"], old["targetValue"] = old.pop("selector"), value
    elif kind == "object":
        del old["targetAverageValue"]
        old |= {"target": source.get("describedObject"), "targetValue": value or "0", "averageValue": average}
    return {"type": metric.get("type"), kind: _without_none(old)}


def _metric_from_v1(metric: dict[str, Any]) -> dict[str, Any]:
    """v1's older spelling of a metric as a v2 MetricSpec."""
    kind = next((name for name in _SOURCES if metric.get(name)), "")
    if not kind:
        return {"type": metric.get("type", "")}
    source = metric[kind]
    average = source.get("averageValue" if kind == "object" else "targetAverageValue")
    percent, value = source.get("targetAverageUtilization"), source.get("targetValue")
    value = None if kind == "object" and average is not None else value
    type_ = "Utilization" if percent is not None else "AverageValue" if average is not None else "Value"
    target = {"type": type_, "averageUtilization": percent, "averageValue": average, "value": value}
    named = {
        "name": source.get("metricName", ""),
        "selector": source.get("metricSelector" if kind == "external" else "selector"),
    }
    new = {"target": target, "describedObject": source.get("target"), "name": source.get("name")}
    new["container"] = source.get("container")
    if kind in ("object", "pods", "external"):
        new["metric"] = named
    return {"type": metric.get("type", ""), kind: _without_none(new)}


def _current_to_v1(metric: dict[str, Any]) -> dict[str, Any]:
    """A v2 MetricStatus in v1's older spelling."""
    kind = next((name for name in _SOURCES if metric.get(name)), "")
    if not kind:
        return {"type": metric.get("type")}
    source = metric[kind]
    current, named = source.get("current", {}), source.get("metric", {})
    selector = "metricSelector" if kind == "external" else "selector"
    average = "averageValue" if kind == "object" else "currentAverageValue"
    old = {
        "name": source.get("name"),
        "container": source.get("container"),
        "target": source.get("describedObject"),
        "metricName": named.get("name"),
        selector: named.get("selector"),
        "currentAverageUtilization": current.get("averageUtilization"),
        "currentValue": current.get("value"),
        average: current.get("averageValue"),
    }
    if kind in ("object", "external"):
        old["currentValue"] = current.get("value") or "0"
    return {"type": metric.get("type"), kind: _without_none(old)}


def _current_from_v1(metric: dict[str, Any]) -> dict[str, Any]:
    """v1's older spelling of a measured value as a v2 MetricStatus."""
    kind = next((name for name in _SOURCES if metric.get(name)), "")
    if not kind:
        return {"type": metric.get("type", "")}
    source = metric[kind]
    average = source.get("averageValue" if kind == "object" else "currentAverageValue")
    value = source.get("currentValue")
    current = {
        "averageUtilization": source.get("currentAverageUtilization"),
        "averageValue": average,
        "value": None if average is not None and value == "0" else value,
    }
    new = {"current": current, "describedObject": source.get("target"), "name": source.get("name")}
    new["container"] = source.get("container")
    if kind in ("object", "pods", "external"):
        selector = source.get("metricSelector" if kind == "external" else "selector")
        new["metric"] = {"name": source.get("metricName", ""), "selector": selector}
    return {"type": metric.get("type", ""), kind: _without_none(new)}
