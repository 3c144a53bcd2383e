"""HorizontalPodAutoscaler: resource `horizontalpodautoscalers` of autoscaling/v2, and of v1 with the same storage."""

from __future__ import annotations

from typing import Any

from kybern.api.autoscaling.behavior import default_behavior, validate_behavior
from kybern.api.autoscaling.conversion import CPU_PERCENT, cpu_metric, from_v1, to_v1
from kybern.api.autoscaling.metrics import validate_metrics, validate_reference
from kybern.api.core.podspec import workload
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.table import AGE, NAME, NONE, UNSET, age

SPEC = Path("spec")
UNKNOWN = "<unknown>"
SHOWN = 2
"""Targets that fit into a table cell; of the rest only the number is told."""


def default(obj: Any) -> None:
    """At least one replica; without a metric, 80% CPU."""
    spec = obj.spec
    if spec.minReplicas is None:
        spec.minReplicas = 1
    if not spec.metrics:
        spec.metrics = [cpu_metric(CPU_PERCENT)]
    if spec.behavior is not None:
        default_behavior(spec.behavior)


def default_v1(obj: Any) -> None:
    """v1's other defaults come with its conversion."""
    if obj.spec.minReplicas is None:
        obj.spec.minReplicas = 1


def validate(obj: Any, errors: Errors) -> None:
    """Bounds, what is scaled, metrics and behavior."""
    spec = obj.spec
    _validate_bounds(errors, spec)
    # A ReplicationController is the one thing in the core group that can be scaled.
    needs_group = spec.scaleTargetRef.kind != "ReplicationController"
    validate_reference(errors, SPEC.child("scaleTargetRef"), spec.scaleTargetRef, needs_group=needs_group)
    validate_metrics(errors, SPEC.child("metrics"), spec.metrics, spec.minReplicas)
    validate_behavior(errors, SPEC.child("behavior"), spec.behavior)


def _validate_bounds(errors: Errors, spec: Any) -> None:
    least, most = spec.minReplicas, spec.maxReplicas
    if least is not None and least < 0:
        errors.invalid(SPEC.child("minReplicas"), least, "must be greater than or equal to 0")
    path = SPEC.child("maxReplicas")
    if not most:
        errors.required(path, "must be set and greater than 0")
    elif most < 1:
        errors.invalid(path, most, "must be greater than or equal to 1")
    if least is not None and most < least:
        errors.invalid(path, most, "must be greater than or equal to `minReplicas`")


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    workload.not_negative(errors, Path("status"), new.status, "currentReplicas", "desiredReplicas")


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec = obj.spec
    return [
        obj.metadata.name,
        f"{spec.scaleTargetRef.kind}/{spec.scaleTargetRef.name}",
        _targets(spec.metrics or [], obj.status.currentMetrics or []),
        UNSET if spec.minReplicas is None else str(spec.minReplicas),
        spec.maxReplicas,
        obj.status.currentReplicas or 0,
        age(obj.metadata.creationTimestamp, now),
    ]


def _targets(metrics: list[Any], measured: list[Any]) -> str:
    shown = [
        text
        for i, metric in enumerate(metrics)
        if (text := _target(metric, measured[i] if i < len(measured) else None))
    ]
    if not shown:
        return NONE
    more = f" + {len(shown) - SHOWN} more..." if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more


_FIELD = {
    "Object": "object", "External": "external", "Pods": "pods", "Resource": "resource",
    "ContainerResource": "containerResource",
}  # fmt: skip


def _target(metric: Any, status: Any | None) -> str:
    """One metric as `measured/wanted`."""
    field = _FIELD.get(metric.type, "")
    source = getattr(metric, field, None)
    if source is None:
        return ""
    found = getattr(status, field, None)
    current, target = getattr(found, "current", None), source.target
    if field in ("resource", "containerResource"):
        return f"{source.name}: {_resource_target(target, current)}"
    if target.averageValue is not None:
        text = f"{getattr(current, 'averageValue', None) or UNKNOWN}/{target.averageValue}"
        return text if field == "pods" else f"{text} (avg)"
    return f"{getattr(current, 'value', None) or UNKNOWN}/{target.value or UNKNOWN}"


def _resource_target(target: Any, current: Any | None) -> str:
    if target.averageValue is not None:
        return f"{getattr(current, 'averageValue', None) or UNKNOWN}/{target.averageValue}"
    percent = getattr(current, "averageUtilization", None)
    measured = UNKNOWN if percent is None else f"{percent}%"
    wanted = "<auto>" if target.averageUtilization is None else f"{target.averageUtilization}%"
    return f"{measured}/{wanted}"


V2 = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    namespaced=True,
    short_names=("hpa",),
    categories=("all",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_status_update=validate_status_update,
    columns=(
        NAME,
        Column("Reference", field="HorizontalPodAutoscalerSpec.scaleTargetRef"),
        Column("Targets", field="HorizontalPodAutoscalerSpec.metrics"),
        Column("MinPods", field="HorizontalPodAutoscalerSpec.minReplicas"),
        Column("MaxPods", field="HorizontalPodAutoscalerSpec.maxReplicas"),
        Column("Replicas", field="HorizontalPodAutoscalerStatus.currentReplicas"),
        AGE,
    ),
    row=row,
)
V1 = Kind(
    group=V2.group,
    version="v1",
    kind=V2.kind,
    plural=V2.plural,
    namespaced=True,
    short_names=V2.short_names,
    categories=V2.categories,
    subresources=V2.subresources,
    default=default_v1,
    columns=V2.columns,
    row=lambda obj, now: row(from_v1(obj), now),
    storage_version_of=(V2.group, V2.version),
    convert_from_storage=to_v1,
    convert_to_storage=from_v1,
)
"""It is judged in its stored form, so it has no rules of its own."""
KINDS = (V2, V1)
