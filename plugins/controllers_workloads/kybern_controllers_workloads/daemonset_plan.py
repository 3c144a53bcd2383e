"""What a DaemonSet does next: a pure function of its nodes and the pods on each.

First every node gets the pods it should have and loses those it should not; then an update replaces old
pods, within maxUnavailable (the old one goes first) or maxSurge (the new one comes first).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kybern.reconcile.pods import is_available, is_finished, is_ready
from kybern_controllers_workloads.history import HASH_LABEL

__all__ = ["Place", "Plan", "limits", "manage", "update"]


@attrs.define
class Place:
    """One node and the set's pods on it: first those that are bound, and of these the oldest."""

    node: str
    should_run: bool
    may_stay: bool
    exists: bool = True
    pods: list[Any] = attrs.field(factory=list)


@attrs.define
class Plan:
    """What to do."""

    create: list[str] = attrs.field(factory=list)
    """Nodes."""
    delete: list[Any] = attrs.field(factory=list)
    failed: list[Any] = attrs.field(factory=list)
    """Deleted after a back-off of the node's."""
    succeeded: list[Any] = attrs.field(factory=list)


@attrs.frozen
class Revision:
    """How to tell new pods from old, and available ones from others."""

    hash: str
    min_ready_seconds: int
    now: float

    def is_new(self, pod: Any) -> bool:
        return bool((pod.metadata.labels or {}).get(HASH_LABEL) == self.hash)

    def is_available(self, pod: Any) -> bool:
        return is_available(pod, self.min_ready_seconds, self.now)


def limits(daemon_set: Any, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; percentages round up."""
    rolling = daemon_set.spec.updateStrategy.rollingUpdate
    surge = _scaled(rolling.maxSurge if rolling is not None else None, desired)
    unavailable = _scaled(rolling.maxUnavailable if rolling is not None else 1, desired)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _scaled(value: int | str | None, total: int) -> int:
    if isinstance(value, str):
        return -(-int(value.rstrip("%")) * total // 100)
    return value or 0


def manage(places: Sequence[Place], revision: Revision, surge: int) -> Plan:
    """The pods that each node should have."""
    plan = Plan()
    for place in places:
        staying = [pod for pod in place.pods if not pod.metadata.deletionTimestamp]
        if place.should_run and not place.pods:
            plan.create.append(place.node)
        elif not place.may_stay:
            plan.delete += staying
        else:
            plan.failed += [pod for pod in staying if pod.status.phase == "Failed"]
            plan.succeeded += [pod for pod in staying if pod.status.phase == "Succeeded"]
            plan.delete += _superfluous([pod for pod in staying if not is_finished(pod)], revision, surge)
    return plan


def _superfluous(running: list[Any], revision: Revision, surge: int) -> list[Any]:
    """All but the first, or, while one replaces another, all but the first new and the first old one; and of these two
    the old one as soon as it is of no use any more. Those that serve come first."""
    running = sorted(running, key=revision.is_available, reverse=True)
    if not surge:
        return running[1:]
    new, old = [p for p in running if revision.is_new(p)], [p for p in running if not revision.is_new(p)]
    kept = bool(new and old) and is_ready(old[0]) and not revision.is_available(new[0])
    return new[1:] + (old[1:] if kept or not new else old)


def update(places: Sequence[Place], revision: Revision, surge: int, unavailable: int) -> Plan:
    """Replace pods of old revisions."""
    shown = [(place, *_pair(place, revision)) for place in places if place.should_run]
    return _replace_by_surge(shown, revision, surge) if surge else _replace_in_place(shown, revision, unavailable)


def _pair(place: Place, revision: Revision) -> tuple[Any | None, Any | None]:
    """(new pod, old pod) of a place, of those that stay."""
    staying = [pod for pod in place.pods if not pod.metadata.deletionTimestamp]
    new = next((p for p in staying if revision.is_new(p)), None)
    old = next((p for p in staying if not revision.is_new(p)), None)
    return new, old


def _replace_in_place(shown: Sequence[tuple[Place, Any, Any]], revision: Revision, unavailable: int) -> Plan:
    plan, candidates, missing = Plan(), [], 0
    for _, new, old in shown:
        if new is not None:
            missing += not revision.is_available(new)
        elif old is None:
            missing += 1
        elif not revision.is_available(old):
            missing += 1
            # It serves nobody: replacing it costs nothing.
            plan.delete.append(old)
        else:
            candidates.append(old)
    plan.delete += candidates[: max(0, unavailable - missing)]
    return plan


def _replace_by_surge(shown: Sequence[tuple[Place, Any, Any]], revision: Revision, surge: int) -> Plan:
    plan, candidates, extra = Plan(), [], 0
    for place, new, old in shown:
        if old is None:
            continue
        if new is None:
            (candidates if revision.is_available(old) else plan.create).append(place.node)
        elif revision.is_available(new):
            plan.delete.append(old)
        else:
            extra += 1
    plan.create += candidates[: max(0, surge - extra)]
    return plan
