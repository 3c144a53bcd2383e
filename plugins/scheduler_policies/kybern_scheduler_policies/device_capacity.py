"""How much of a device a request takes, when the device is given out in shares (KEP-5075).

A request that says nothing of a capacity takes the policy's default, or all of it; what it does say
is rounded up to what the policy allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from kybern.api import quantity
from kybern_scheduler_policies.device_selectors import qualified

__all__ = ["all_of", "capacities", "share_of"]


def capacities(driver: str, device: Any) -> dict[str, tuple[str, Any]]:
    """What the device has, by full name: (the name as published, DeviceCapacity)."""
    found: dict[str, tuple[str, Any]] = {}
    for name, capacity in (device.capacity or {}).items():
        full = qualified(name, driver)
        if name == full or full not in found:
            found[full] = name, capacity
    return found


def all_of(driver: str, device: Any) -> dict[str, Fraction]:
    """How much there is of everything."""
    return {name: quantity.parse(capacity.value) for name, (_, capacity) in capacities(driver, device).items()}


def share_of(driver: str, device: Any, requests: Mapping[str, str] | None) -> dict[str, Fraction] | None:
    """What the requests take of the device; None when it cannot serve them."""
    there = capacities(driver, device)
    wanted = {qualified(name, driver): quantity.parse(amount) for name, amount in (requests or {}).items()}
    if not wanted.keys() <= there.keys():
        return None
    share = {}
    for name, (_, capacity) in there.items():
        amount = _taken(wanted.get(name), capacity)
        if amount is None or amount > quantity.parse(capacity.value):
            return None
        share[name] = amount
    return share


def _taken(wanted: Fraction | None, capacity: Any) -> Fraction | None:
    policy = capacity.requestPolicy
    if wanted is None:
        default = policy.default if policy is not None else None
        return quantity.parse(default if default is not None else capacity.value)
    if policy is None:
        return wanted
    if policy.validValues:
        return min((v for v in map(quantity.parse, policy.validValues) if v >= wanted), default=None)
    return _in_range(wanted, policy.validRange) if policy.validRange is not None else wanted


def _in_range(wanted: Fraction, allowed: Any) -> Fraction | None:
    least = quantity.parse(allowed.min) if allowed.min is not None else Fraction(0)
    amount = max(wanted, least)
    if allowed.step is not None:
        step = quantity.parse(allowed.step)
        amount = least + ceil((amount - least) / step) * step if step > 0 else amount
    if allowed.max is not None and amount > quantity.parse(allowed.max):
        return None
    return amount
