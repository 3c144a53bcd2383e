"""What all containers of a pod ask for together, and the quality-of-service class that follows."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from kybern.api import quantity

__all__ = ["aggregate_requests", "pod_limits", "pod_requests", "pod_resources", "qos_class"]

COMPUTE = ("cpu", "memory")
Amounts = dict[str, Fraction]


def _amounts(resources: dict[str, str] | None) -> Amounts:
    return {name: quantity.parse(value) for name, value in (resources or {}).items()}


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _largest(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        total[name] = max(total.get(name, Fraction(0)), amount)


def aggregate_requests(spec: Any) -> dict[str, str]:
    """Requests of the running containers and sidecars, or of the greediest moment of initialisation.

    (KEP-753: an init container runs beside the sidecars that were started before it.)
    """
    return {name: quantity.format(amount, _form(name)) for name, amount in _aggregate(spec, "requests").items()}


def pod_resources(spec: Any, side: str) -> Amounts:
    """`requests` or `limits` that a pod states: its own before those of its containers."""
    total = _aggregate(spec, side)
    if spec.resources is not None:
        total |= _amounts(getattr(spec.resources, side))
    return total


def pod_requests(spec: Any) -> Amounts:
    """What the pod as a whole asks for: what it states, and the overhead."""
    total = pod_resources(spec, "requests")
    _add(total, _amounts(spec.overhead))
    return total


def pod_limits(spec: Any) -> Amounts:
    """The same of limits; overhead counts only where there is a limit."""
    total = pod_resources(spec, "limits")
    _add(total, {name: amount for name, amount in _amounts(spec.overhead).items() if total.get(name)})
    return total


def _aggregate(spec: Any, side: str) -> Amounts:
    total: Amounts = {}
    for container in spec.containers or ():
        _add(total, _amounts(getattr(container.resources, side)))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.initContainers or ():
        needs = _amounts(getattr(container.resources, side))
        if container.restartPolicy == "Always":
            _add(total, needs)
            _add(sidecars, needs)
            needs = dict(sidecars)
        else:
            _add(needs, sidecars)
        _largest(peak, needs)
    _largest(total, peak)
    return total


def _form(name: str) -> str:
    return "DecimalSI" if name == "cpu" else "BinarySI"


@lru_cache(maxsize=4096)
def _nano(amount: str) -> int:
    """The amount in billionths: exact, and quicker to add up than a Fraction."""
    return int(quantity.parse(amount) * 10**9)


def qos_class(spec: Any) -> str:
    """Guaranteed, Burstable or BestEffort (documentation: "Pod Quality of Service Classes")."""
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        wanted: Iterable[Any] = (spec.resources,)
    else:
        wanted = [c.resources for c in (*(spec.containers or ()), *(spec.initContainers or ()))]
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for each in wanted:
        _count(requests, each.requests)
        guaranteed = _count(limits, each.limits) == len(COMPUTE) and guaranteed
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _count(total: dict[str, int], resources: dict[str, str] | None) -> int:
    """Add the compute resources that are more than nothing; how many there were."""
    found = 0
    for name in COMPUTE if resources else ():
        amount = _nano(resources[name]) if resources and name in resources else 0
        if amount > 0:
            total[name] = total.get(name, 0) + amount
            found += 1
    return found
