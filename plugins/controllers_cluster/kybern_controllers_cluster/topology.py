"""Topology aware routing: a Service's endpoints are shared out among the zones as the CPUs of the nodes are.

An endpoint serves its own zone at first. Zones that have more than their share lend some to those that have less; where
that cannot be done without overloading a zone, nobody gets a hint, and traffic goes everywhere.
(KEP-2433; `service.kubernetes.io/topology-mode: Auto`.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kybern.api import quantity
from kybern.api.discovery import EndpointHints, ForZone
from kybern_controllers_cluster.nodelifecycle import readiness

__all__ = ["ZONE", "NotShared", "capacity", "is_balanced", "share_out", "shares"]

ZONE = "topology.kubernetes.io/zone"
MODE = "service.kubernetes.io/topology-mode"
ELDER_MODE = "service.kubernetes.io/topology-aware-hints"
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
OVERLOAD = 1.2
"""So many times its share of the traffic an endpoint may get."""


class NotShared(Exception):
    """Why there are no hints."""


def is_balanced(service: Any) -> bool:
    """Whether the Service asks for it."""
    annotations = service.metadata.annotations or {}
    return annotations.get(ELDER_MODE, annotations.get(MODE)) in ("Auto", "auto")


def capacity(node: Any) -> tuple[str, int] | None:
    """(Zone, thousandths of CPUs) of a node that counts; either may be unknown."""
    labels = node.metadata.labels or {}
    if readiness(node) != "True" or any(name in labels for name in CONTROL_PLANE):
        return None
    return labels.get(ZONE, ""), quantity.milli((node.status.allocatable or {}).get("cpu", "0"))


def shares(nodes: Iterable[Any]) -> dict[str, float]:
    """Each zone's part of all CPUs; NotShared when that is not known or there is but one."""
    cpus: Counter[str] = Counter()
    known = True
    for zone, cpu in filter(None, map(capacity, nodes)):
        known = known and bool(zone and cpu)
        cpus[zone] += cpu
    if not known or len(cpus) < 2:
        raise NotShared("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes")
    return {zone: cpu / cpus.total() for zone, cpu in cpus.items()}


def share_out(endpoints: Sequence[Any], shares: Mapping[str, float], before: Callable[[Any], str | None]) -> None:
    """Give the ready endpoints their hints, or raise NotShared. `before`: the zone that an endpoint serves now."""
    ready = sorted((e for e in endpoints if e.conditions.ready), key=lambda e: e.addresses[0])
    wanted = _wanted(len(ready), shares)
    if not all(e.zone for e in ready):
        raise NotShared("One or more endpoints do not have a zone specified")
    zones = {id(e): e.zone for e in ready}
    for giver, receiver in _loans(Counter(zones.values()), wanted):
        own = [e for e in ready if e.zone == giver and zones[id(e)] == giver]
        # One that serves the zone already goes on with it.
        zones[id(next((e for e in own if before(e) == receiver), own[0]))] = receiver
    for each in ready:
        each.hints = EndpointHints(forZones=[ForZone(name=zones[id(each)])])


def _wanted(count: int, shares: Mapping[str, float]) -> dict[str, float]:
    """How many endpoints each zone should have: its share, but enough that none is overloaded."""
    told = f"({count} endpoints, {len(shares)} zones)"
    if len(shares) > count:
        raise NotShared(f"Insufficient number of endpoints {told}")
    least = {zone: math.ceil(share * count / OVERLOAD) for zone, share in shares.items()}
    if sum(least.values()) > count:
        text = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
        raise NotShared(f"{text} {told}")
    return {zone: max(share * count, least[zone]) for zone, share in shares.items()}


def _loans(has: Mapping[str, int], wanted: Mapping[str, float]) -> Iterable[tuple[str, str]]:
    """(From, to), from the zone with the most to spare to the one that lacks the most, as long as it is worth it."""
    spare = {zone: has.get(zone, 0) - count for zone, count in sorted(wanted.items())}
    while True:
        giver, receiver = max(spare, key=lambda zone: spare[zone]), min(spare, key=lambda zone: spare[zone])
        most, least = spare[giver], -spare[receiver]
        if most < 0.5 or least < 0.5 or (most < 1 and least < 1):
            return
        spare[giver] -= 1
        spare[receiver] += 1
        yield giver, receiver
