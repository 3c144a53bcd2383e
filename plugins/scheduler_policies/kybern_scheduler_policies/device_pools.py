"""What drivers offer: the devices that a node can reach, the counters that partitions of a device share, and what
of both is in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import attrs

from kybern.api import quantity
from kybern.api.resource.taints import is_tolerated, taints_of
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.selection import NodeTerm
from kybern_scheduler_policies.device_selectors import facts_of, qualified

__all__ = ["Amounts", "Candidate", "Identity", "Offer", "Pool", "Pools", "Usage", "identities"]

Identity = tuple[str, str, str]
"""(driver, pool, device)"""
Amounts = dict[str, Fraction]


@attrs.define(eq=False)
class Pool:
    """The newest generation of a pool, all of it, whether this node can reach it or not."""

    driver: str
    name: str
    slices: list[Any]
    complete: bool
    counters: dict[tuple[str, str], Fraction] = attrs.Factory(dict)
    """(counter set, counter): how much there is."""
    consumers: dict[str, dict[tuple[str, str], Fraction]] = attrs.Factory(dict)
    """device: what it takes of them."""

    def read(self) -> None:
        """Work out the counters."""
        for part in self.slices:
            for each in part.spec.sharedCounters or ():
                for name, counter in (each.counters or {}).items():
                    self.counters[each.name, name] = quantity.parse(counter.value)
            for device in part.spec.devices or ():
                if device.consumesCounters:
                    self.consumers[device.name] = {
                        (use.counterSet, name): quantity.parse(counter.value)
                        for use in device.consumesCounters
                        for name, counter in (use.counters or {}).items()
                    }


@attrs.frozen(eq=False)
class Candidate:
    """A device that the node can reach."""

    identity: Identity
    device: Any
    facts: dict[str, Any]
    node_selector: Any
    """Where it can be reached from, as an allocation says it; None: from everywhere."""
    pool: Pool
    taints: tuple[Any, ...]


@attrs.frozen(eq=False)
class Offer:
    """Everything there is for one node."""

    devices: Sequence[Candidate]
    whole: bool
    """False while a pool is being rewritten: nobody can have all of its devices then."""


class Usage:
    """Which devices others have: whole ones, and how much of those that can be shared."""

    __slots__ = ("shares", "whole")

    def __init__(self, whole: Iterable[Identity] = ()) -> None:
        self.whole = set(whole)
        self.shares: dict[Identity, Amounts] = {}

    def add(self, allocation: Any) -> None:
        """Count what an allocation keeps from others."""
        for result in (allocation.devices.results or ()) if allocation is not None else ():
            if result.adminAccess:
                continue
            identity = (result.driver, result.pool, result.device)
            if not result.shareID:
                self.whole.add(identity)
                continue
            held = self.shares.setdefault(identity, {})
            for name, amount in (result.consumedCapacity or {}).items():
                name = qualified(name, result.driver)
                held[name] = held.get(name, Fraction(0)) + quantity.parse(amount)

    def has(self, identity: Identity) -> bool:
        """Whether anybody has the device or a share of it."""
        return identity in self.whole or identity in self.shares


def identities(allocation: Any) -> Iterator[tuple[str, ...]]:
    """What an allocation keeps from others, each with its share."""
    for result in (allocation.devices.results or ()) if allocation is not None else ():
        if not result.adminAccess:
            yield result.driver, result.pool, result.device, result.shareID or ""


class Pools:
    """All pools, read once until a slice or a rule changes."""

    def __init__(self, slices: Iterable[Any], rules: Sequence[Any] = ()) -> None:
        self._rules = rules
        self._local: dict[str, list[tuple[Pool, Any]]] = {}
        self._other: list[tuple[Pool, Any]] = []
        self._taints: dict[Identity, tuple[Any, ...]] = {}
        for pool in _pools(slices):
            for part in pool.slices:
                self._read_taints(pool, part)
                place = self._local.setdefault(part.spec.nodeName, []) if part.spec.nodeName else self._other
                place.append((pool, part))

    def _read_taints(self, pool: Pool, part: Any) -> None:
        for device in part.spec.devices or ():
            if taints := tuple(taints_of(pool.driver, pool.name, device, self._rules)):
                self._taints[pool.driver, pool.name, device.name] = taints

    def drives_out(self, allocation: Any) -> bool:
        """Whether a device of the allocation has a taint by now that its users have to leave."""
        return any(
            taint.effect == "NoExecute" and not is_tolerated(taint, result.tolerations or ())
            for result in (allocation.devices.results if self._taints else None) or ()
            for taint in self._taints.get((result.driver, result.pool, result.device), ())
        )

    def offer(self, info: NodeInfo) -> Offer:
        """The devices of complete pools that the node can reach, in order of name."""
        parts = [*self._local.get(info.name, ()), *self._other]
        parts.sort(key=lambda p: (p[0].driver, p[0].name, p[1].metadata.name))
        found: list[Candidate] = []
        whole = True
        for pool, part in parts:
            if pool.complete:
                found += self._reachable(part, pool, info)
            elif _could_reach(part, info):
                whole = False
        return Offer(found, whole)

    def _reachable(self, part: Any, pool: Pool, info: NodeInfo) -> Iterator[Candidate]:
        for device in part.spec.devices or ():
            where = device if part.spec.perDeviceNodeSelection else part.spec
            if not _reaches(where, info):
                continue
            selector = None if where.allNodes else where.nodeSelector or _only(info.name)
            if device.bindsToNode:
                selector = _only(info.name)
            identity = (pool.driver, pool.name, device.name)
            taints = self._taints.get(identity, ())
            yield Candidate(identity, device, facts_of(pool.driver, device), selector, pool, taints)


def _pools(slices: Iterable[Any]) -> Iterator[Pool]:
    parts: dict[tuple[str, str], list[Any]] = {}
    for each in slices:
        parts.setdefault((each.spec.driver, each.spec.pool.name), []).append(each)
    for (driver, name), found in sorted(parts.items()):
        newest = max(part.spec.pool.generation or 0 for part in found)
        current = [part for part in found if (part.spec.pool.generation or 0) == newest]
        pool = Pool(driver, name, current, len(current) == current[0].spec.pool.resourceSliceCount)
        pool.read()
        yield pool


def _could_reach(part: Any, info: NodeInfo) -> bool:
    return bool(part.spec.perDeviceNodeSelection) or _reaches(part.spec, info)


def _reaches(where: Any, info: NodeInfo) -> bool:
    if where.allNodes or where.nodeName:
        return bool(where.allNodes) or bool(where.nodeName == info.name)
    terms = where.nodeSelector.nodeSelectorTerms if where.nodeSelector is not None else None
    return any(NodeTerm(term).matches(info) for term in terms or ())


def _only(node: str) -> Any:
    from kybern.api import types
    from kybern.api.core import NodeSelector

    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    return types.from_plain(NodeSelector, {"nodeSelectorTerms": [{"matchFields": [field]}]})
