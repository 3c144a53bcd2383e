"""How many replicas one metric asks for. Pure arithmetic on samples and pods.

The care is about pods whose sample is missing or means nothing yet: they must neither hide a need to
grow nor cause one. So a scale-up counts them as idle, a scale-down as busy, and when that turns the
answer round, nothing is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from kybern.api import quantity
from kybern.api.core.podspec.totals import pod_requests
from kybern.api.time import parse_time

__all__ = [
    "MetricError", "Sample", "Tolerances", "average_replicas", "ratio_replicas", "ready_pods",
    "total_per_pod_replicas", "utilization_replicas",
]  # fmt: skip

CPU_INITIALIZATION = 300.0
"""Seconds after its start in which a pod's CPU counts only if the pod is ready and was measured as such."""
INITIAL_READINESS = 30.0
"""A pod that is not ready, and whose readiness last changed within so long of its start, was never ready."""
NO_PODS = "no pods returned by selector while calculating replica count"
NO_SAMPLES = "did not receive metrics for targeted pods (pods might be unready)"


class MetricError(Exception):
    """A metric cannot be used; the text is for the user."""


@attrs.frozen
class Sample:
    """What was measured of one pod."""

    value: int
    """In thousandths."""
    at: float = math.inf
    window: float = 60.0


@attrs.frozen
class Tolerances:
    """How far the ratio of measured to wanted may be from 1 without anything being done."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@attrs.frozen
class _Groups:
    """Pods by what their samples are worth."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    values: dict[str, int]
    """What the others were measured at."""


def _grouped(pods: Sequence[Any], samples: Mapping[str, Sample], resource: str, now: float) -> _Groups:
    """MetricError when nothing of it counts."""
    if not pods:
        raise MetricError(NO_PODS)
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in pods:
        name, phase = pod.metadata.name, pod.status.phase
        if pod.metadata.deletionTimestamp or phase == "Failed":
            ignored.add(name)
        elif phase == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif resource == "cpu" and _starting(pod, samples[name], now):
            unready.add(name)
        else:
            ready += 1
    values = {name: sample.value for name, sample in samples.items() if name not in unready and name not in ignored}
    if not values:
        raise MetricError(NO_SAMPLES)
    return _Groups(ready, frozenset(unready), frozenset(missing), values)


def _starting(pod: Any, sample: Sample, now: float) -> bool:
    """Whether CPU use tells more about the pod's start than about its load."""
    condition = _ready_condition(pod)
    if condition is None or not pod.status.startTime:
        return True
    started, changed = (
        parse_time(pod.status.startTime),
        parse_time(condition.lastTransitionTime or pod.status.startTime),
    )
    if started + CPU_INITIALIZATION > now:
        return condition.status == "False" or sample.at < changed + sample.window
    return condition.status == "False" and started + INITIAL_READINESS > changed


def _ready_condition(pod: Any) -> Any | None:
    return next((c for c in pod.status.conditions or () if c.type == "Ready"), None)


def ready_pods(pods: Sequence[Any]) -> int:
    """Running pods that are ready; MetricError when there are no pods at all."""
    if not pods:
        raise MetricError(f"unable to calculate ready pods: {NO_PODS}")
    ready = 0
    for pod in pods:
        condition = _ready_condition(pod)
        ready += pod.status.phase == "Running" and condition is not None and condition.status == "True"
    return ready


def _requests(pod: Any, resource: str, container: str) -> int:
    """What a pod or one container of it requests, in thousandths; MetricError when that is nothing."""
    name, whole = pod.metadata.name, getattr(pod.spec.resources, "requests", None)
    if whole and not container:
        found = pod_requests(pod.spec).get(resource)
        if found is None:
            raise MetricError(f"missing pod-level request for {resource} in Pod {name}")
        return math.ceil(found * 1000)
    sidecars = (c for c in pod.spec.initContainers or () if c.restartPolicy == "Always")
    counted = [c for c in (*pod.spec.containers, *sidecars) if container in ("", c.name)]
    if not counted:
        raise MetricError(f"container {container} not found in Pod {name}")
    for c in counted:
        if resource not in (c.resources.requests or {}):
            raise MetricError(f"missing request for {resource} in container {c.name} of Pod {name}")
    return sum(quantity.milli(c.resources.requests[resource]) for c in counted)


def utilization_replicas(
    current: int, target: int, resource: str, container: str, pods: Sequence[Any], samples: Mapping[str, Sample],
    tolerances: Tolerances, now: float,
) -> tuple[int, int, int]:  # fmt: skip
    """(replicas, utilization in percent, average use) for a target in percent of what pods (or one container of each)
    request."""
    groups = _grouped(pods, samples, resource, now)
    requests = {pod.metadata.name: _requests(pod, resource, container) for pod in pods}

    def ratio(values: Mapping[str, int]) -> tuple[float, int, int]:
        known = [(value, requests[name]) for name, value in values.items() if name in requests]
        requested = sum(request for _, request in known)
        if not requested:
            raise MetricError("no metrics returned matched known pods")
        used = sum(value for value, _ in known)
        percent = used * 100 // requested
        return percent / target, percent, used // len(known)

    def busy(name: str) -> int:
        return requests.get(name, 0) * max(100, target) // 100

    replicas, (_, percent, average) = _replicas(current, groups, ratio, busy, tolerances)
    return replicas, percent, average


def average_replicas(
    current: int, target: int, resource: str, pods: Sequence[Any], samples: Mapping[str, Sample],
    tolerances: Tolerances, now: float,
) -> tuple[int, int]:  # fmt: skip
    """(replicas, average) for a target of so much per pod."""

    def ratio(values: Mapping[str, int]) -> tuple[float, int]:
        average = sum(values.values()) // len(values)
        return average / target, average

    groups = _grouped(pods, samples, resource, now)
    replicas, (_, average) = _replicas(current, groups, ratio, lambda _: target, tolerances)
    return replicas, average


def _replicas(
    current: int, groups: _Groups, ratio: Callable[[Mapping[str, int]], Any], busy: Callable[[str], int],
    tolerances: Tolerances,
) -> tuple[int, Any]:  # fmt: skip
    """Replicas, and what `ratio` said of the pods that count; its first item is measured over wanted."""
    values = dict(groups.values)
    measured = ratio(values)
    before = measured[0]
    grows_past_unready = bool(groups.unready) and before > 1.0
    if not grows_past_unready and not groups.missing:
        return (current if tolerances.holds(before) else math.ceil(before * groups.ready)), measured
    if before != 1.0:  # on target to the point, there is no direction in which to be careful
        values |= {name: busy(name) if before < 1.0 else 0 for name in groups.missing}
    if grows_past_unready:
        values |= dict.fromkeys(groups.unready, 0)
    after = ratio(values)[0]
    turned = (before < 1.0 < after) or (after < 1.0 < before)
    if tolerances.holds(after) or turned:
        return current, measured
    replicas = math.ceil(after * len(values))
    against = (after < 1.0 and replicas > current) or (after > 1.0 and replicas < current)
    return (current if against else replicas), measured


def ratio_replicas(current: int, value: int, target: int, pods: Sequence[Any], tolerances: Tolerances) -> int:
    """For one value that the replicas together should bring to a target."""
    ratio = value / target
    if not current:
        return math.ceil(ratio)
    return current if tolerances.holds(ratio) else math.ceil(ratio * ready_pods(pods))


def total_per_pod_replicas(existing: int, value: int, target: int, tolerances: Tolerances) -> tuple[int, int]:
    """(replicas, value per existing replica) for one value of which each replica should have so much."""
    if not existing:
        return math.ceil(value / target), 0
    kept = tolerances.holds(value / (target * existing))
    return (existing if kept else math.ceil(value / target)), math.ceil(value / existing)
