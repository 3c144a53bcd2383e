"""Taints of devices: which devices a rule taints, and what a claim's tolerations make of it.

Asked by whoever allocates devices and by whoever evicts pods from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kybern.api.placement import tolerates
from kybern.api.time import parse_time

__all__ = ["ACTING", "is_tolerated", "rule_selects", "taints_of", "tolerance_ends"]

ACTING = ("NoSchedule", "NoExecute")
"""Other effects, also those that are not known yet, keep nobody away."""


def is_tolerated(taint: Any, tolerations: Iterable[Any]) -> bool:
    """Whether a device with this taint may still be given to who has these tolerations."""
    return taint.effect not in ACTING or any(tolerates(t, taint) for t in tolerations)


def taints_of(driver: str, pool: str, device: Any, rules: Iterable[Any]) -> Iterator[Any]:
    """What the driver says of its device, and what DeviceTaintRules add."""
    yield from device.taints or ()
    for rule in rules:
        if rule_selects(rule, driver, pool, device.name):
            yield rule.spec.taint


def rule_selects(rule: Any, driver: str, pool: str, device: str) -> bool:
    """Whether the rule is about the device. An empty selector selects all, none at all selects none."""
    selector = rule.spec.deviceSelector
    if selector is None:
        return False
    pairs = ((selector.driver, driver), (selector.pool, pool), (selector.device, device))
    return all(wanted is None or wanted == actual for wanted, actual in pairs)


def _added(taint: Any) -> float:
    """Since when; the beginning of time when it does not say."""
    return float(parse_time(taint.timeAdded)) if taint.timeAdded else 0.0


def tolerance_ends(taint: Any, tolerations: Sequence[Any]) -> float | None:
    """When pods must have left a device with this NoExecute taint; None: they need not."""
    about = [t for t in tolerations if tolerates(t, taint)]
    if any(t.tolerationSeconds is None for t in about):
        return None
    return _added(taint) + max((max(t.tolerationSeconds, 0) for t in about), default=0)
