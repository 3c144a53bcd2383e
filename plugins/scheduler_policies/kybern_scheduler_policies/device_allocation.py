"""Finds devices on one node for the requests of claims: a search with backtracking over the node's free devices.

Devices that share counters with others (partitions) are left out: they are never allocated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.selection import NodeTerm
from kybern_scheduler_policies.device_selectors import attribute_of, facts_of, selects

__all__ = ["Candidate", "Identity", "NoDevices", "allocate", "candidates", "identities"]

Identity = tuple[str, str, str]
"""(driver, pool, device)"""
RESULTS_MAX = 32
STEPS_MAX = 10_000
"""So many devices are tried for one claim on one node before it is given up."""


class NoDevices(Exception):
    """The claim cannot be had on this node."""


@attrs.frozen(eq=False)
class Candidate:
    """A device that the node can reach."""

    identity: Identity
    device: Any
    facts: dict[str, Any]
    node_selector: Any
    """Where it can be reached from, as an allocation says it; None: from everywhere."""


@attrs.frozen(eq=False)
class _Wish:
    """One device that a request asks for."""

    request: str
    fitting: Sequence[Candidate]
    admin: bool


def identities(allocation: Any) -> Iterator[Identity]:
    """The devices that an allocation keeps from others."""
    for result in (allocation.devices.results or ()) if allocation is not None else ():
        if not result.adminAccess:
            yield result.driver, result.pool, result.device


def candidates(slices: Iterable[Any], info: NodeInfo) -> list[Candidate]:
    """The devices in the newest, complete generation of every pool that the node can reach, in order of name."""
    pools: dict[tuple[str, str], list[Any]] = {}
    for each in slices:
        pools.setdefault((each.spec.driver, each.spec.pool.name), []).append(each)
    found: list[Candidate] = []
    for (driver, pool), parts in sorted(pools.items()):
        newest = max(part.spec.pool.generation or 0 for part in parts)
        current = [part for part in parts if (part.spec.pool.generation or 0) == newest]
        if len(current) != current[0].spec.pool.resourceSliceCount:
            continue
        for part in sorted(current, key=lambda p: p.metadata.name):
            found += _reachable(part, driver, pool, info)
    return found


def _reachable(part: Any, driver: str, pool: str, info: NodeInfo) -> Iterator[Candidate]:
    for device in part.spec.devices or ():
        where = device if part.spec.perDeviceNodeSelection else part.spec
        if not device.consumesCounters and _reaches(where, info):
            selector = None if where.allNodes else where.nodeSelector or _only(info.name)
            yield Candidate((driver, pool, device.name), device, facts_of(driver, device), selector)


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


def allocate(claim: Any, classes: dict[str, Any], there: Sequence[Candidate], taken: set[Identity]) -> Any:
    """The claim's AllocationResult. NoDevices when it cannot be; SelectorError for a selector that fails."""
    devices = claim.spec.devices
    requests = (devices.requests if devices is not None else None) or ()
    constraints = (devices.constraints if devices is not None else None) or ()
    for wishes in _choices(requests, classes, there, taken):
        chosen = _Search(wishes, constraints, taken).run() if len(wishes) <= RESULTS_MAX else None
        if chosen is not None:
            return _result(claim, classes, list(zip(wishes, chosen, strict=True)))
    raise NoDevices


def _choices(
    requests: Sequence[Any], classes: dict[str, Any], there: Sequence[Candidate], taken: set[Identity]
) -> Iterator[list[_Wish]]:
    """All wishes of all requests, once for each combination of `firstAvailable` alternatives, best first."""
    if not requests:
        yield []
        return
    first, *rest = requests
    if first.exactly is not None:
        alternatives = [(first.name, first.exactly)]
    else:
        alternatives = [(f"{first.name}/{sub.name}", sub) for sub in first.firstAvailable or ()]
    for name, wanted in alternatives:
        wishes = _wishes(name, wanted, classes, there, taken)
        if wishes is not None:
            for others in _choices(rest, classes, there, taken):
                yield wishes + others


def _wishes(
    name: str, wanted: Any, classes: dict[str, Any], there: Sequence[Candidate], taken: set[Identity]
) -> list[_Wish] | None:
    """None: there can be no such devices here."""
    admin = bool(getattr(wanted, "adminAccess", False))
    selectors = [*(classes[wanted.deviceClassName].spec.selectors or ()), *(wanted.selectors or ())]
    fitting = [c for c in there if _fits(c, selectors, wanted.tolerations or ())]
    free = [c for c in fitting if admin or c.identity not in taken]
    if wanted.allocationMode == "All":
        if not fitting or len(free) < len(fitting):
            return None
        return [_Wish(name, [each], admin) for each in fitting]
    count = wanted.count or 1
    return [_Wish(name, free, admin)] * count if len(free) >= count else None


def _fits(candidate: Candidate, selectors: Sequence[Any], tolerations: Sequence[Any]) -> bool:
    for taint in candidate.device.taints or ():
        if taint.effect in ("NoSchedule", "NoExecute") and not any(_tolerates(t, taint) for t in tolerations):
            return False
    return all(s.cel is None or selects(s.cel.expression, candidate.facts) for s in selectors)


def _tolerates(toleration: Any, taint: Any) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return bool(toleration.operator == "Exists" or (toleration.value or "") == (taint.value or ""))


class _Search:
    """A device for every wish, such that all constraints hold."""

    def __init__(self, wishes: Sequence[_Wish], constraints: Sequence[Any], taken: set[Identity]) -> None:
        self._wishes = wishes
        self._constraints = constraints
        self._taken = taken
        self._chosen: list[Candidate] = []
        self._steps = 0

    def run(self) -> list[Candidate] | None:
        """The devices, in the order of the wishes."""
        if len(self._chosen) == len(self._wishes):
            return list(self._chosen)
        wish = self._wishes[len(self._chosen)]
        for candidate in wish.fitting:
            self._steps += 1
            if self._steps > STEPS_MAX:
                return None
            if self._is_used(candidate, wish) or not self._holds(candidate, wish):
                continue
            self._chosen.append(candidate)
            found = self.run()
            if found is not None:
                return found
            self._chosen.pop()
        return None

    def _is_used(self, candidate: Candidate, wish: _Wish) -> bool:
        """By another claim, or by an earlier wish: an administrator sees each device once per request."""
        earlier = zip(self._wishes, self._chosen, strict=False)
        if wish.admin:
            return any(c is candidate and w.request == wish.request for w, c in earlier)
        return candidate.identity in self._taken or any(c is candidate and not w.admin for w, c in earlier)

    def _holds(self, candidate: Candidate, wish: _Wish) -> bool:
        return all(self._holds_one(c, candidate) for c in self._constraints if _concerns(c, wish))

    def _holds_one(self, constraint: Any, candidate: Candidate) -> bool:
        name = constraint.matchAttribute or constraint.distinctAttribute
        value = attribute_of(candidate.identity[0], candidate.device, name)
        if value is None:
            return False
        pairs = zip(self._wishes, self._chosen, strict=False)
        others = [attribute_of(c.identity[0], c.device, name) for w, c in pairs if _concerns(constraint, w)]
        if constraint.matchAttribute:
            return all(_same(other, value) for other in others)
        return not any(_same(other, value) for other in others)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _concerns(constraint: Any, wish: _Wish) -> bool:
    named = constraint.requests or ()
    return not named or wish.request in named or wish.request.partition("/")[0] in named


def _result(claim: Any, classes: dict[str, Any], chosen: Sequence[tuple[_Wish, Candidate]]) -> Any:
    from kybern.api.resource import AllocationResult, DeviceAllocationResult, DeviceRequestAllocationResult

    results = [
        DeviceRequestAllocationResult(
            request=wish.request,
            driver=candidate.identity[0],
            pool=candidate.identity[1],
            device=candidate.identity[2],
            adminAccess=True if wish.admin else None,
        )
        for wish, candidate in chosen
    ]
    config = _configuration(claim, classes, {wish.request for wish, _ in chosen})
    return AllocationResult(
        devices=DeviceAllocationResult(results=results or None, config=config or None),
        nodeSelector=_joined([c.node_selector for _, c in chosen if c.node_selector is not None]),
    )


def _joined(selectors: Sequence[Any]) -> Any:
    """The narrowest of what the devices say: one node if any of them is on one, else all requirements together."""
    from kybern.api import types

    if not selectors:
        return None
    local = [s for s in selectors if any(term.matchFields for term in s.nodeSelectorTerms or ())]
    joined = types.copy((local or selectors)[0])
    for other in () if local else selectors[1:]:
        for term, more in zip(joined.nodeSelectorTerms, other.nodeSelectorTerms, strict=False):
            new = [e for e in more.matchExpressions or () if e not in (term.matchExpressions or ())]
            term.matchExpressions = [*(term.matchExpressions or ()), *new] or None
    return joined


def _configuration(claim: Any, classes: dict[str, Any], requests: set[str]) -> list[Any]:
    """What the drivers are to be told: first the administrator's, by class, then the user's."""
    from kybern.api.resource import DeviceAllocationConfiguration

    found = []
    for request in claim.spec.devices.requests or ():
        wanted = [(request.name, request.exactly)] if request.exactly is not None else []
        wanted += [(f"{request.name}/{sub.name}", sub) for sub in request.firstAvailable or ()]
        for name, each in wanted:
            for config in (classes[each.deviceClassName].spec.config or ()) if name in requests else ():
                made = DeviceAllocationConfiguration(source="FromClass", requests=[name], opaque=config.opaque)
                found.append(made)
    for config in claim.spec.devices.config or ():
        named = config.requests
        if not named or any(r in named or r.partition("/")[0] in named for r in requests):
            found.append(DeviceAllocationConfiguration(source="FromClaim", requests=named, opaque=config.opaque))
    return found
