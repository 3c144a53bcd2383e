"""Reads what autoscalers measure by: the three metrics APIs, asked through the API server like any other resource."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

import msgspec

from kybern.api import quantity, selectors
from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.client.interface import Client
from kybern.reconcile.owners import selector_text
from kybern_controllers_workloads.hpa_decision import Reading
from kybern_controllers_workloads.hpa_replicas import MetricError, Sample

if TYPE_CHECKING:
    from kybern_controllers_workloads.hpa_scale import Scales

__all__ = ["read_metric"]

_RESOURCE = "/apis/metrics.k8s.io/v1beta1"
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


async def read_metric(client: Client, scales: Scales, metric: Any, namespace: str, selector: str) -> Reading:
    """What one metric of an autoscaler's spec measures; a Reading with an error when it cannot be had."""
    try:
        match metric.type:
            case "Resource":
                return await _resource(client, metric.resource.name, "", namespace, selector)
            case "ContainerResource":
                source = metric.containerResource
                return await _resource(client, source.name, source.container, namespace, selector)
            case "Pods":
                return await _pods(client, metric.pods.metric, namespace, selector)
            case "Object":
                return await _object(client, scales, metric.object, namespace)
            case "External":
                return await _external(client, metric.external.metric, namespace)
    except MetricError as error:
        return Reading(error=str(error))
    return Reading(error=f'unknown metric source type "{metric.type}"')


async def _items(client: Client, path: str, api: str, **query: str) -> list[dict[str, Any]]:
    """The items of a list; MetricError when it fails or is empty."""
    asked = urllib.parse.urlencode({name: value for name, value in query.items() if value})
    code, body = await client.raw("GET", f"{path}?{asked}" if asked else path)
    answer = _decoded(body)
    if code >= 400:
        nobody = code == 404 and answer.get("kind") != "Status"
        told = _absent(path, api) if nobody else answer.get("message")
        raise MetricError(f"unable to fetch metrics from {api} metrics API: {told or code}")
    items: list[dict[str, Any]] = answer.get("items") or []
    if not items:
        raise MetricError(f"no metrics returned from {api} metrics API")
    return items


def _absent(path: str, api: str) -> str:
    """What upstream says when nobody serves the API, which answers with no Status."""
    if api == "custom":
        return "no custom metrics API (custom.metrics.k8s.io) registered"
    group, name = path.split("/")[2], path.rpartition("/")[2]
    return f"the server could not find the requested resource (get {name}.{group})"


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {"message": body[:200].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {}


async def _resource(client: Client, name: str, container: str, namespace: str, selector: str) -> Reading:
    path = f"{_RESOURCE}/namespaces/{namespace}/pods"
    samples: dict[str, Sample] = {}
    try:
        for item in await _items(client, path, "resource", labelSelector=selector):
            value = _of_container(item, name, container) if container else _of_pod(item, name)
            if value is not None:
                samples[item["metadata"]["name"]] = Sample(
                    value, parse_time(item["timestamp"]), _seconds(item["window"])
                )
    except MetricError as error:
        raise MetricError(f"unable to get metrics for resource {name}: {error}") from None
    return Reading(samples)


def _of_pod(item: dict[str, Any], name: str) -> int | None:
    """The sum over a pod's containers; None when one of them was not measured."""
    values = [container["usage"].get(name) for container in item.get("containers") or ()]
    return None if not values or None in values else sum(quantity.milli(value) for value in values)


def _of_container(item: dict[str, Any], name: str, container: str) -> int | None:
    """Of one container; None when it was not measured, as one that has just ended is not."""
    for found in item.get("containers") or ():
        if found["name"] == container:
            value = found["usage"].get(name)
            return None if value is None else quantity.milli(value)
    return None


def _seconds(duration: str) -> float:
    """A Go duration, as far as metrics servers write them: `15s`, `1m0s`, `14.5s`."""
    total, digits = 0.0, ""
    for mark in duration:
        if mark in "hms" and digits:
            total, digits = total + float(digits) * {"h": 3600, "m": 60, "s": 1}[mark], ""
        else:
            digits += mark
    return total


def _selector(metric: Any) -> str:
    return str(selectors.from_label_selector(metric.selector)) if metric.selector is not None else ""


async def _pods(client: Client, metric: Any, namespace: str, selector: str) -> Reading:
    path = f"{_CUSTOM}/namespaces/{namespace}/pods/*/{metric.name}"
    items = await _items(client, path, "custom", labelSelector=selector, metricLabelSelector=_selector(metric))
    return Reading({
        item["describedObject"]["name"]: Sample(
            quantity.milli(item["value"]), parse_time(item["timestamp"]), float(item.get("windowSeconds") or 60)
        )
        for item in items
    })  # fmt: skip


async def _object(client: Client, scales: Scales, source: Any, namespace: str) -> Reading:
    about, name = source.describedObject, source.metric.name
    try:
        path = await _object_path(scales, about, namespace, name)
        items = await _items(client, path, "custom", metricLabelSelector=_selector(source.metric))
    except MetricError as error:
        raise MetricError(f"unable to get metric {name} on {about.kind} {namespace}/{about.name}: {error}") from None
    return Reading(total=quantity.milli(items[0]["value"]))


async def _object_path(scales: Scales, about: Any, namespace: str, metric: str) -> str:
    group = (about.apiVersion or "").rpartition("/")[0]
    if about.kind == "Namespace" and not group:  # an autoscaler sees its own namespace only
        return f"{_CUSTOM}/namespaces/{namespace}/metrics/{metric}"
    suffix = f".{group}" if group else ""
    try:
        plural = await scales.plural(about)
    except StatusError as error:
        raise MetricError(
            "unable to fetch metrics from custom metrics API: "
            f"unable to map kind {about.kind}{suffix} to resource: {error}"
        ) from None
    return f"{_CUSTOM}/namespaces/{namespace}/{plural}{suffix}/{about.name}/{metric}"


async def _external(client: Client, metric: Any, namespace: str) -> Reading:
    path = f"{_EXTERNAL}/namespaces/{namespace}/{metric.name}"
    wanted = _selector(metric)
    try:
        items = await _items(client, path, "external", labelSelector=wanted)
    except MetricError as error:
        raise MetricError(
            f"unable to get external metric {namespace}/{metric.name}/{selector_text(metric.selector)}: {error}"
        ) from None
    return Reading(total=sum(quantity.milli(item["value"]) for item in items))
