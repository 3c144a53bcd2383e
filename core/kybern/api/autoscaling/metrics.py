"""Checks what a HorizontalPodAutoscaler measures, and what value it wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import quantity
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["validate_metrics", "validate_reference"]

TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
FIELDS = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
TARGETS = ("Utilization", "Value", "AverageValue")
NO_ZERO = "must specify at least one Object or External metric to support scaling to zero replicas"


def validate_reference(errors: Errors, path: Path, reference: Any, *, needs_group: bool) -> None:
    """A CrossVersionObjectReference."""
    for field in ("kind", "name"):
        value = getattr(reference, field)
        if not value:
            errors.required(path.child(field))
        else:
            names.add_all(errors, path.child(field), value, names.path_segment(value))
    version = reference.apiVersion or ""
    group, slash, _ = version.partition("/")
    if version.count("/") > 1:
        errors.invalid(path.child("apiVersion"), version, f"unexpected GroupVersion string: {version}")
    elif needs_group and not (slash and group):
        errors.invalid(path.child("apiVersion"), version, "apiVersion must specify API group")


def validate_metrics(errors: Errors, path: Path, metrics: Sequence[Any] | None, least: int | None) -> None:
    """All metrics. `least`: minReplicas; zero needs a metric that exists without pods."""
    for i, metric in enumerate(metrics or ()):
        _validate_metric(errors, path.index(i), metric)
    if least == 0 and not any(metric.type in ("Object", "External") for metric in metrics or ()):
        errors.forbidden(path, NO_ZERO)


def _validate_metric(errors: Errors, path: Path, metric: Any) -> None:
    if not metric.type:
        errors.required(path.child("type"), "must specify a metric source type")
    if metric.type not in TYPES:
        errors.not_supported(path.child("type"), metric.type, TYPES)
    given = [field for field in FIELDS.values() if getattr(metric, field) is not None]
    if given:
        _SOURCES[given[0]](errors, path.child(given[0]), getattr(metric, given[0]))
    expected = FIELDS.get(metric.type, "")
    if expected and expected not in given:
        errors.required(path.child(expected), "must populate information for the given metric source")
    if len(given) != 1:
        for field in given:
            if field != expected:
                errors.forbidden(path.child(field), "must populate the given metric source only")


def _validate_identifier(errors: Errors, path: Path, metric: Any) -> None:
    if not metric.name:
        errors.required(path.child("name"), "must specify a metric name")
    else:
        names.add_all(errors, path.child("name"), metric.name, names.path_segment(metric.name))


def _is_positive(amount: str) -> bool:
    return quantity.parse(amount) > 0


def _validate_target(errors: Errors, path: Path, target: Any) -> None:
    if not target.type:
        errors.required(path.child("type"), "must specify a metric target type")
    if target.type not in TARGETS:
        errors.invalid(path.child("type"), target.type, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        amount = getattr(target, field)
        if amount is not None and not _is_positive(amount):
            errors.invalid(path.child(field), amount, "must be positive")
    percent = target.averageUtilization
    if percent is not None and percent < 1:
        errors.invalid(path.child("averageUtilization"), percent, "must be greater than 0")


def _validate_object(errors: Errors, path: Path, source: Any) -> None:
    validate_reference(errors, path.child("describedObject"), source.describedObject, needs_group=False)
    _validate_identifier(errors, path.child("metric"), source.metric)
    _validate_target(errors, path.child("target"), source.target)
    if source.target.value is None and source.target.averageValue is None:
        errors.required(path.child("target", "averageValue"), "must set either a target value or averageValue")


def _validate_external(errors: Errors, path: Path, source: Any) -> None:
    _validate_identifier(errors, path.child("metric"), source.metric)
    _validate_target(errors, path.child("target"), source.target)
    target = source.target
    if target.value is None and target.averageValue is None:
        text = "must set either a target value for metric or a per-pod target"
        errors.required(path.child("target", "averageValue"), text)
    if target.value is not None and target.averageValue is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.forbidden(path.child("target", "value"), text)


def _validate_pods(errors: Errors, path: Path, source: Any) -> None:
    _validate_identifier(errors, path.child("metric"), source.metric)
    _validate_target(errors, path.child("target"), source.target)
    amount = source.target.averageValue
    if amount is None or not _is_positive(amount):
        errors.required(path.child("target", "averageValue"), "must specify a positive target averageValue")


def _validate_resource(errors: Errors, path: Path, source: Any) -> None:
    if not source.name:
        errors.required(path.child("name"), "must specify a resource name")
    _validate_target(errors, path.child("target"), source.target)
    target = source.target
    if target.averageUtilization is None and target.averageValue is None:
        text = "must set either a target raw value or a target utilization"
        errors.required(path.child("target", "averageUtilization"), text)
    if target.averageUtilization is not None and target.averageValue is not None:
        text = "may not set both a target raw value and a target utilization"
        errors.forbidden(path.child("target", "averageValue"), text)


def _validate_container_resource(errors: Errors, path: Path, source: Any) -> None:
    if not source.container:
        errors.required(path.child("container"), "must specify a container")
    else:
        names.add_all(errors, path.child("container"), source.container, names.dns1123_label(source.container))
    _validate_resource(errors, path, source)


_SOURCES = {
    "object": _validate_object,
    "external": _validate_external,
    "pods": _validate_pods,
    "resource": _validate_resource,
    "containerResource": _validate_container_resource,
}
