"""Finds devices on one node for the requests of claims: a search with backtracking over what the node can reach.

A device is had whole, in shares (`allowMultipleAllocations`), or as a partition that uses up counters
it shares with others. Administrators' requests look past all of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import attrs

from kybern.api.resource.taints import is_tolerated
from kybern_scheduler_policies.device_capacity import all_of, share_of
from kybern_scheduler_policies.device_pools import Amounts, Candidate, Identity, Offer, Pool, Usage
from kybern_scheduler_policies.device_selectors import attribute_of, selects

__all__ = ["Chosen", "NoDevices", "Wish", "choose"]

RESULTS_MAX = 32
STEPS_MAX = 10_000
"""So many devices are tried for one claim on one node before it is given up."""


class NoDevices(Exception):
    """The claim cannot be had on this node."""


@attrs.frozen(eq=False)
class Wish:
    """One device that a request asks for."""

    request: str
    fitting: Sequence[tuple[Candidate, Amounts]]
    """Devices that would do, and how much of each is wanted."""
    asked: Any
    """The request, or the alternative of it."""
    rank: int = 0
    """Which alternative of `firstAvailable` it is."""

    @property
    def admin(self) -> bool:
        """Whether it is for the device's administrator."""
        return bool(getattr(self.asked, "adminAccess", False))


@attrs.frozen(eq=False)
class Chosen:
    """A device for a wish."""

    wish: Wish
    candidate: Candidate
    share: Amounts | None
    """How much of it; None: all of it."""


def choose(claim: Any, classes: Mapping[str, Any], there: Offer, used: Usage) -> list[Chosen]:
    """A device for everything the claim asks for. NoDevices when that cannot be; SelectorError for a bad selector."""
    devices = claim.spec.devices
    requests = (devices.requests if devices is not None else None) or ()
    constraints = (devices.constraints if devices is not None else None) or ()
    for wishes in _choices(requests, classes, there):
        chosen = _Search(wishes, constraints, used).run() if len(wishes) <= RESULTS_MAX else None
        if chosen is not None:
            return chosen
    raise NoDevices


def _choices(requests: Sequence[Any], classes: Mapping[str, Any], there: Offer) -> Iterator[list[Wish]]:
    """All wishes of all requests, once for each combination of `firstAvailable` alternatives, best first."""
    if not requests:
        yield []
        return
    first, *rest = requests
    if first.exactly is not None:
        alternatives = [(first.name, first.exactly)]
    else:
        alternatives = [(f"{first.name}/{sub.name}", sub) for sub in first.firstAvailable or ()]
    for rank, (name, asked) in enumerate(alternatives):
        wishes = _wishes(name, asked, rank, classes, there)
        if wishes is not None:
            for others in _choices(rest, classes, there):
                yield wishes + others


def _wishes(name: str, asked: Any, rank: int, classes: Mapping[str, Any], there: Offer) -> list[Wish] | None:
    """None: there can be no such devices here."""
    selectors = [*(classes[asked.deviceClassName].spec.selectors or ()), *(asked.selectors or ())]
    requests = asked.capacity.requests if asked.capacity is not None else None
    fitting = []
    for candidate in there.devices:
        share = share_of(candidate.identity[0], candidate.device, requests)
        if share is not None and _fits(candidate, selectors, asked.tolerations or ()):
            fitting.append((candidate, share))
    if asked.allocationMode == "All":
        if not fitting or not there.whole:
            return None
        return [Wish(name, [each], asked, rank) for each in fitting]
    count = asked.count or 1
    shared = any(candidate.device.allowMultipleAllocations for candidate, _ in fitting)
    return [Wish(name, fitting, asked, rank)] * count if len(fitting) >= count or shared else None


def _fits(candidate: Candidate, selectors: Sequence[Any], tolerations: Sequence[Any]) -> bool:
    if not all(is_tolerated(taint, tolerations) for taint in candidate.taints):
        return False
    return all(s.cel is None or selects(s.cel.expression, candidate.facts) for s in selectors)


class _Search:
    """A device for every wish, such that all constraints hold."""

    def __init__(self, wishes: Sequence[Wish], constraints: Sequence[Any], used: Usage) -> None:
        self._wishes = wishes
        self._constraints = constraints
        self._used = used
        self._chosen: list[Chosen] = []
        self._starts: list[int] = []
        """Where in its wish's list each choice stands."""
        self._steps = 0

    def run(self) -> list[Chosen] | None:
        """The devices, in the order of the wishes."""
        at = len(self._chosen)
        if at == len(self._wishes):
            return list(self._chosen)
        wish = self._wishes[at]
        # Devices for the same request are interchangeable: only their combinations are tried, in one order.
        start = self._starts[-1] if at and self._wishes[at - 1] is wish else 0
        for place in range(start, len(wish.fitting)):
            self._steps += 1
            if self._steps > STEPS_MAX:
                return None
            candidate, amounts = wish.fitting[place]
            shared = bool(candidate.device.allowMultipleAllocations) and not wish.admin
            choice = Chosen(wish, candidate, amounts if shared else None)
            if not self._is_free(choice) or not self._holds(choice):
                continue
            self._chosen.append(choice)
            self._starts.append(place)
            found = self.run()
            if found is not None:
                return found
            self._chosen.pop()
            self._starts.pop()
        return None

    def _is_free(self, choice: Chosen) -> bool:
        candidate, wish = choice.candidate, choice.wish
        if wish.admin:
            # An administrator sees each device once per request.
            return not any(c.candidate is candidate and c.wish.request == wish.request for c in self._chosen)
        mine = [c for c in self._chosen if c.candidate is candidate and not c.wish.admin]
        if candidate.identity in self._used.whole or (choice.share is None and mine):
            return False
        if choice.share is not None and not self._has_room(choice, mine):
            return False
        return self._has_counters(candidate)

    def _has_room(self, choice: Chosen, mine: Sequence[Chosen]) -> bool:
        """Whether all shares together are no more than the device."""
        whole = all_of(choice.candidate.identity[0], choice.candidate.device)
        held = self._used.shares.get(choice.candidate.identity, {})
        for name, amount in (choice.share or {}).items():
            own = sum((c.share or {}).get(name, Fraction(0)) for c in mine)
            if held.get(name, 0) + own + amount > whole[name]:
                return False
        return True

    def _has_counters(self, candidate: Candidate) -> bool:
        pool = candidate.pool
        takes = pool.consumers.get(candidate.identity[2])
        if not takes:
            return True
        busy = {c.candidate.identity for c in self._chosen if c.candidate.pool is pool and not c.wish.admin}
        if candidate.identity in busy or self._used.has(candidate.identity):
            return True
        return all(
            amount + _consumed(pool, key, busy, self._used) <= pool.counters.get(key, 0)
            for key, amount in takes.items()
        )

    def _holds(self, choice: Chosen) -> bool:
        return all(self._holds_one(c, choice.candidate) for c in self._constraints if _concerns(c, choice.wish))

    def _holds_one(self, constraint: Any, candidate: Candidate) -> bool:
        name = constraint.matchAttribute or constraint.distinctAttribute
        value = attribute_of(candidate.identity[0], candidate.device, name)
        if value is None:
            return False
        others = [
            attribute_of(c.candidate.identity[0], c.candidate.device, name)
            for c in self._chosen
            if _concerns(constraint, c.wish)
        ]
        if constraint.matchAttribute:
            return all(_same(other, value) for other in others)
        return not any(_same(other, value) for other in others)


def _consumed(pool: Pool, key: tuple[str, str], busy: set[Identity], used: Usage) -> Fraction:
    """What devices in use take of a counter, wherever they are used."""
    total = Fraction(0)
    for device, takes in pool.consumers.items():
        identity = (pool.driver, pool.name, device)
        if key in takes and (identity in busy or used.has(identity)):
            total += takes[key]
    return total


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _concerns(constraint: Any, wish: Wish) -> bool:
    named = constraint.requests or ()
    return not named or wish.request in named or wish.request.partition("/")[0] in named
