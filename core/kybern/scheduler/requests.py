"""What a pod asks of its node, counted as Kubernetes counts it.

Regular containers and sidecars run together, init containers one after another beside the sidecars
started before them; the pod asks for whichever moment needs most, or for what `spec.resources` says,
plus the overhead of its runtime class. While a resize is under way the larger of the wanted, the
allocated and the actual resources counts (KEPs 753, 1287, 2837).

CPU is in millicores, everything else in whole units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from kybern.api import quantity

__all__ = ["DEFAULT_CPU", "DEFAULT_MEMORY", "Amounts", "amounts", "pod_requests"]

Amounts = dict[str, int]

DEFAULT_CPU = 100
"""Millicores that scoring assumes for a container that requests none, so that such pods spread as well."""
DEFAULT_MEMORY = 200 * 1024 * 1024
_ASSUMED = {"cpu": DEFAULT_CPU, "memory": DEFAULT_MEMORY}


@lru_cache(maxsize=4096)
def _amount(resource: str, text: str) -> int:
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def amounts(resources: Mapping[str, str] | None) -> Amounts:
    """Quantities as integers."""
    return {name: _amount(name, str(text)) for name, text in resources.items()} if resources else {}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        if amount > total.get(name, 0):
            total[name] = amount


def _sum(a: Amounts, b: Amounts) -> Amounts:
    total = dict(a)
    _add(total, b)
    return total


def _resize_infeasible(pod: Any) -> bool:
    return any(
        c.type == "PodResizePending" and c.status == "True" and c.reason == "Infeasible"
        for c in pod.status.conditions or ()
    )


def _in_effect(wanted: Mapping[str, str] | None, status: Any, infeasible: bool) -> Amounts:
    """Requests of a container (or the pod) whose status may tell of a resize under way."""
    actual = status.resources if status is not None else None
    allocated = status.allocatedResources if status is not None else None
    if actual is None and allocated is None:
        return amounts(wanted)
    result = {} if infeasible else amounts(wanted)
    _raise_to(result, amounts(actual.requests if actual is not None else None))
    _raise_to(result, amounts(allocated))
    return result


def pod_requests(pod: Any, *, assume_defaults: bool = False) -> Amounts:
    """Requests of the whole pod. `assume_defaults`: with the default for containers that name no CPU or memory."""
    spec, status = pod.spec, pod.status
    statuses: dict[str, Any] = {}
    infeasible = False
    if status.containerStatuses or status.initContainerStatuses:
        statuses = {s.name: s for s in (*(status.containerStatuses or ()), *(status.initContainerStatuses or ()))}
        infeasible = bool(status.conditions) and _resize_infeasible(pod)

    def of(container: Any, resizable: bool = True) -> Amounts:
        wanted = container.resources.requests if container.resources is not None else None
        known = statuses.get(container.name) if resizable and statuses else None
        found = amounts(wanted) if known is None else _in_effect(wanted, known, infeasible)
        return _ASSUMED | found if assume_defaults else found

    total: Amounts = {}
    for container in spec.containers or ():
        _add(total, of(container))
    if spec.initContainers:
        _count_init(total, spec.initContainers, of)
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        total |= _pod_level(pod, infeasible or (bool(status.conditions) and _resize_infeasible(pod)))
    if spec.overhead:
        _add(total, amounts(spec.overhead))
    return total


def _count_init(total: Amounts, containers: Iterable[Any], of: Any) -> None:
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in containers:
        if container.restartPolicy == "Always":
            needs = of(container)
            _add(total, needs)
            _add(sidecars, needs)
            needs = sidecars
        else:
            needs = _sum(of(container, False), sidecars)
        _raise_to(peak, needs)
    _raise_to(total, peak)


def _pod_level(pod: Any, infeasible: bool) -> Amounts:
    """Resources that `spec.resources` decides for the pod as a whole."""
    found = _in_effect(pod.spec.resources.requests, pod.status, infeasible)
    return {n: a for n, a in found.items() if n in ("cpu", "memory") or n.startswith("hugepages-")}
