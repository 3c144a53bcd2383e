"""Taints of devices: which devices a rule taints, and what a claim's tolerations make of it.

Asked by whoever allocates devices and by whoever evicts pods from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kybern.api.time import parse_time

__all__ = ["ACTING", "added", "is_tolerated", "taints_of", "tolerance_ends", "tolerates"]

ACTING = ("NoSchedule", "NoExecute")
"""Other effects, also those that are not known yet, keep nobody away."""


def tolerates(toleration: Any, taint: Any) -> bool:
    """Whether the toleration is about this taint. No effect or key means all of them."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return bool(toleration.operator == "Exists" or (toleration.value or "") == (taint.value or ""))


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


def added(taint: Any) -> float:
    """Since when; the beginning of time when it does not say."""
    return float(parse_time(taint.timeAdded)) if taint.timeAdded else 0.0


def tolerance_ends(taint: Any, tolerations: Sequence[Any]) -> float | None:
    """When pods must have left a device with this NoExecute taint; None: they need not."""
    about = [t for t in tolerations if tolerates(t, taint)]
    if any(t.tolerationSeconds is None for t in about):
        return None
    return added(taint) + max((max(t.tolerationSeconds, 0) for t in about), default=0)
