"""How fast replicas may change: stabilization windows and scaling policies. Pure, but for a History it extends.

Without `spec.behavior` the older rules hold: shrink to the highest recommendation of five minutes,
at most double (or four) at a time. With it, each direction has a window and a list of policies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

__all__ = ["History", "Limit", "normalized"]

DOWNSCALE_WINDOW = 300
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FAST_UP = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_TOO_FAST_DOWN = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_READY = ("ReadyForNewScale", "recommended size matches current size")
_HELD_UP = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_HELD_DOWN = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)


@attrs.define
class History:
    """What one autoscaler remembers; lost with the process, as upstream's."""

    recommendations: list[tuple[float, int]] = attrs.field(factory=list)
    """(when, replicas), before any rule was applied."""
    added: list[tuple[float, int]] = attrs.field(factory=list)
    removed: list[tuple[float, int]] = attrs.field(factory=list)
    """(when, how many), of changes that took place."""

    def begin(self, now: float, replicas: int) -> None:
        """What there was before the first decision counts as a recommendation."""
        if not self.recommendations:
            self.recommendations.append((now, replicas))

    def recommend(self, now: float, replicas: int, window: float) -> None:
        """Remember a recommendation, and forget those that are too old."""
        kept = [(at, count) for at, count in self.recommendations if at >= now - window]
        self.recommendations = [*kept, (now, replicas)]

    def scaled(self, now: float, before: int, after: int, behavior: Any | None) -> None:
        """Remember a change, as long as some policy looks back."""
        if behavior is None:
            return
        changes = self.added if after > before else self.removed
        rules = behavior.scaleUp if after > before else behavior.scaleDown
        longest = max((p.periodSeconds for p in _policies(rules)), default=0)
        changes[:] = [(at, count) for at, count in changes if at >= now - longest]
        changes.append((now, abs(after - before)))


@attrs.frozen
class Limit:
    """The outcome: replicas, and what the conditions AbleToScale and ScalingLimited say."""

    replicas: int
    able: tuple[str, str]
    limited: bool
    why: tuple[str, str]


def normalized(
    wanted: int, current: int, least: int, most: int, behavior: Any | None, history: History, now: float
) -> Limit:
    """What may be done now about a wish for `wanted` replicas."""
    if behavior is None:
        return _by_default(wanted, current, least, most, history, now)
    stable, able = _stabilized(wanted, current, behavior, history, now)
    replicas, why = _rated(stable, current, least, most, behavior, history, now)
    return Limit(replicas, able, replicas != stable, why)


def _by_default(wanted: int, current: int, least: int, most: int, history: History, now: float) -> Limit:
    recent = [count for at, count in history.recommendations if at >= now - DOWNSCALE_WINDOW]
    stable = max([wanted, *recent])
    history.recommend(now, wanted, DOWNSCALE_WINDOW)
    able = _HELD_DOWN if stable != wanted else _READY
    fastest = max(2 * current, 4)
    highest, why_high = (fastest, _TOO_FAST_UP) if most > fastest else (most, _TOO_MANY)
    if stable < least:
        return Limit(least, able, True, _TOO_FEW)
    if stable > highest:
        return Limit(highest, able, True, why_high)
    return Limit(stable, able, False, _WITHIN)


def _stabilized(wanted: int, current: int, behavior: Any, history: History, now: float) -> tuple[int, tuple[str, str]]:
    up_window, down_window = _window(behavior.scaleUp, 0), _window(behavior.scaleDown, DOWNSCALE_WINDOW)
    lowest = min([wanted, *(count for at, count in history.recommendations if at > now - up_window)])
    highest = max([wanted, *(count for at, count in history.recommendations if at > now - down_window)])
    history.recommend(now, wanted, max(up_window, down_window))
    stable = min(max(current, lowest), highest)
    if stable == wanted:
        return stable, _READY
    return stable, _HELD_UP if wanted >= current else _HELD_DOWN


def _rated(
    wanted: int, current: int, least: int, most: int, behavior: Any, history: History, now: float
) -> tuple[int, tuple[str, str]]:
    if wanted > current:
        fastest = max(_up_limit(current, behavior.scaleUp, history, now), current)
        highest, why = (fastest, _TOO_FAST_UP) if most > fastest else (most, _TOO_MANY)
        if wanted > highest:
            return highest, why
    elif wanted < current:
        fastest = min(_down_limit(current, behavior.scaleDown, history, now), current)
        lowest, why = (fastest, _TOO_FAST_DOWN) if least < fastest else (least, _TOO_FEW)
        if wanted < lowest:
            return lowest, why
    return wanted, _WITHIN


def _up_limit(current: int, rules: Any, history: History, now: float) -> int:
    if _select(rules) == "Disabled":
        return current
    proposed = []
    for policy in _policies(rules):
        start = _period_start(current, policy.periodSeconds, history, now)
        percent = math.ceil(start * (100 + policy.value) / 100)
        proposed.append(start + policy.value if policy.type == "Pods" else percent)
    return (min if _select(rules) == "Min" else max)(proposed, default=current)


def _down_limit(current: int, rules: Any, history: History, now: float) -> int:
    if _select(rules) == "Disabled":
        return current
    proposed = []
    for policy in _policies(rules):
        start = _period_start(current, policy.periodSeconds, history, now)
        percent = int(start * (100 - policy.value) / 100)
        proposed.append(start - policy.value if policy.type == "Pods" else percent)
    return (max if _select(rules) == "Min" else min)(proposed, default=current)


def _period_start(current: int, period: int, history: History, now: float) -> int:
    """The replicas there were when the period began."""
    return current - _since(history.added, now - period) + _since(history.removed, now - period)


def _since(changes: Iterable[tuple[float, int]], cutoff: float) -> int:
    return sum(count for at, count in changes if at > cutoff)


def _policies(rules: Any | None) -> Sequence[Any]:
    return (rules.policies or ()) if rules is not None else ()


def _select(rules: Any | None) -> str:
    return (rules.selectPolicy if rules is not None else None) or "Max"


def _window(rules: Any | None, usual: int) -> int:
    given = rules.stabilizationWindowSeconds if rules is not None else None
    return usual if given is None else given
