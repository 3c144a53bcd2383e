"""The arithmetic of a Deployment's rollout: how many replicas each ReplicaSet should have next.

Pure functions of the Deployment and its ReplicaSets. Each answers with `Sizes`: the ReplicaSets to
change and their new size. Roundings are upstream's: surge rounds up, unavailable rounds down, and
when both come to nothing one pod may be unavailable, lest the rollout stand still.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kybern_controllers_workloads.deployment_revisions import annotation_number

__all__ = ["Limits", "Size", "limits", "proportional", "recreate_down", "replicas_of", "rolling_down", "rolling_up"]

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


class Size(NamedTuple):
    """A ReplicaSet and the replicas it should have."""

    replica_set: Any
    replicas: int


class Limits(NamedTuple):
    """How far a rollout may go from the desired number."""

    surge: int
    unavailable: int


def replicas_of(obj: Any) -> int:
    """`spec.replicas` of a Deployment or ReplicaSet; 1 unless said."""
    return 1 if obj.spec.replicas is None else int(obj.spec.replicas)


def total(replica_sets: Iterable[Any]) -> int:
    """The replicas that the ReplicaSets want."""
    return sum(map(replicas_of, replica_sets))


def limits(deployment: Any) -> Limits:
    """maxSurge and maxUnavailable as numbers; (0, 0) when the strategy is not a rolling update."""
    strategy, desired = deployment.spec.strategy, replicas_of(deployment)
    if strategy.type != "RollingUpdate":
        return Limits(0, 0)
    rolling = strategy.rollingUpdate
    surge = _scaled(rolling.maxSurge if rolling else None, desired, math.ceil)
    unavailable = _scaled(rolling.maxUnavailable if rolling else None, desired, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(surge, min(unavailable, desired))


def _scaled(value: int | str | None, total: int, rounding: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        # In whole numbers: 7% of 100 in floats is a little more than 7.
        parts = int(value[:-1]) * total
        return -(-parts // 100) if rounding is math.ceil else parts // 100
    return int(value or 0)


def rolling_up(deployment: Any, new: Any, replica_sets: Sequence[Any]) -> int:
    """The size of the new ReplicaSet now: as many more as fit below desired + maxSurge."""
    desired, size = replicas_of(deployment), replicas_of(new)
    if size >= desired or deployment.spec.strategy.type == "Recreate":
        return desired
    room = desired + limits(deployment).surge - total(replica_sets)
    return size + min(max(room, 0), desired - size)


def rolling_down(deployment: Any, new: Any, old: Sequence[Any]) -> list[Size]:
    """How far the old ReplicaSets may shrink: pods that are not available anyway go first, then as many
    available ones as desired - maxUnavailable leaves."""
    minimum = replicas_of(deployment) - limits(deployment).unavailable
    new_missing = replicas_of(new) - _available(new)
    spare = total([*old, new]) - minimum - new_missing
    if not old or spare <= 0:
        return []
    sizes = {rs.metadata.name: replicas_of(rs) for rs in old}
    by_age = sorted(old, key=_age)
    left = spare
    for rs in by_age:
        unhealthy = min(left, sizes[rs.metadata.name] - _available(rs))
        sizes[rs.metadata.name] -= unhealthy
        left -= unhealthy
    # Bounded by what is spare as well: a status may be older than the last scaling.
    left = min(left, sum(map(_available, [*old, new])) - minimum)
    for rs in by_age:
        gone = max(0, min(left, sizes[rs.metadata.name]))
        sizes[rs.metadata.name] -= gone
        left -= gone
    return [Size(rs, sizes[rs.metadata.name]) for rs in by_age if sizes[rs.metadata.name] != replicas_of(rs)]


def recreate_down(old: Sequence[Any]) -> list[Size]:
    """Nothing old may be left."""
    return [Size(rs, 0) for rs in old if replicas_of(rs)]


def proportional(deployment: Any, new: Any | None, old: Sequence[Any]) -> list[Size]:
    """The sizes after `spec.replicas` was changed, in the middle of a rollout or not: a single ReplicaSet follows,
    several share the difference by their size. Every ReplicaSet concerned is listed, changed or not."""
    desired = replicas_of(deployment)
    single = _only_active(new, old)
    if single is not None:
        return [Size(single, desired)]
    if new is not None and _saturated(deployment, new):
        return [Size(rs, 0) for rs in old if replicas_of(rs)]
    active = [rs for rs in (*old, new) if rs is not None and replicas_of(rs)]
    if deployment.spec.strategy.type != "RollingUpdate" or not active:
        return []
    allowed = desired + limits(deployment).surge if desired else 0
    return _share(deployment, active, allowed - total(active))


def _only_active(new: Any | None, old: Sequence[Any]) -> Any | None:
    """The one ReplicaSet with replicas, or, if none has any, the newest."""
    known = [rs for rs in (*old, new) if rs is not None]
    active = [rs for rs in known if replicas_of(rs)]
    if len(active) == 1:
        return active[0]
    if active or not known:
        return None
    return new if new is not None else max(known, key=_age)


def _saturated(deployment: Any, new: Any) -> bool:
    desired = replicas_of(deployment)
    return (
        replicas_of(new) == desired
        and annotation_number(new, DESIRED) == desired
        and (new.status.availableReplicas or 0) == desired
    )


def _share(deployment: Any, active: Sequence[Any], difference: int) -> list[Size]:
    """Largest first; when growing the newer of two equals first, when shrinking the older. What rounding leaves
    over goes to the first."""
    ordered = sorted(active, key=_age, reverse=difference > 0)
    ordered.sort(key=replicas_of, reverse=True)
    sizes, added = [], 0
    for rs in ordered:
        part = _proportion(deployment, rs, difference, added)
        added += part
        sizes.append(replicas_of(rs) + part)
    sizes[0] = max(0, sizes[0] + difference - added)
    return [Size(rs, size) for rs, size in zip(ordered, sizes, strict=True)]


def _proportion(deployment: Any, rs: Any, difference: int, added: int) -> int:
    if not difference or difference == added:
        return 0
    fraction, allowed = _fraction(deployment, rs), difference - added
    return min(fraction, allowed) if difference > 0 else max(fraction, allowed)


def _fraction(deployment: Any, rs: Any) -> int:
    """By how much the ReplicaSet changes if it keeps its share of the whole."""
    desired, size = replicas_of(deployment), replicas_of(rs)
    if not desired:
        return -size
    before = annotation_number(rs, MAXIMUM) or deployment.status.replicas or 0
    if not before:
        return 0
    scaled = size * (desired + limits(deployment).surge) / before
    return math.floor(scaled + 0.5) - size


def _available(rs: Any) -> int:
    """Available pods that its size lets it keep."""
    return min(rs.status.availableReplicas or 0, replicas_of(rs))


def _age(rs: Any) -> tuple[str, str]:
    return (rs.metadata.creationTimestamp or "", rs.metadata.name)
