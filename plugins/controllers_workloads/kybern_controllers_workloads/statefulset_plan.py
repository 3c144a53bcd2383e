"""What a StatefulSet does next: a pure function of its pods.

Ordered sets take one step at a time: the lowest ordinal that is not well must become so before the
next is touched. Parallel sets take all steps at once. Updates go from the highest ordinal down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import attrs

from kybern.reconcile.pods import is_available, is_finished, is_ready
from kybern_controllers_workloads.statefulset_pods import has_identity, ordinal_of, revision_of

__all__ = ["Step", "View", "decide", "is_well", "max_unavailable", "partition", "replicas_of", "start_of"]

Act = Literal["create", "delete", "adjust"]


class Step(NamedTuple):
    """One thing to do to one ordinal."""

    act: Act
    ordinal: int
    pod: Any = None


def replicas_of(stateful_set: Any) -> int:
    return 1 if stateful_set.spec.replicas is None else int(stateful_set.spec.replicas)


def start_of(stateful_set: Any) -> int:
    """The lowest ordinal."""
    ordinals = stateful_set.spec.ordinals
    return int(ordinals.start or 0) if ordinals is not None else 0


def partition(stateful_set: Any) -> int:
    """Ordinals below start + this keep the old revision."""
    rolling = stateful_set.spec.updateStrategy.rollingUpdate
    return int(rolling.partition or 0) if rolling is not None else 0


def max_unavailable(stateful_set: Any) -> int:
    """How many pods an update may take away at a time; a percentage rounds down, but never to none."""
    rolling = stateful_set.spec.updateStrategy.rollingUpdate
    value = rolling.maxUnavailable if rolling is not None else None
    if isinstance(value, str):
        value = int(value.rstrip("%")) * replicas_of(stateful_set) // 100
    return max(1, value if value is not None else 1)


@attrs.define
class View:
    """The set's pods by what they are to it."""

    stateful_set: Any
    wanted: dict[int, Any]
    """Every ordinal that should have a pod, with its pod or None."""
    condemned: list[Any]
    """Pods beyond, highest ordinal first."""
    now: float

    @classmethod
    def of(cls, stateful_set: Any, pods: Sequence[Any], now: float) -> View:
        first = start_of(stateful_set)
        wanted: dict[int, Any] = dict.fromkeys(range(first, first + replicas_of(stateful_set)))
        condemned = []
        for pod in pods:
            ordinal = ordinal_of(stateful_set, pod)
            if ordinal in wanted:
                wanted[ordinal] = pod
            elif ordinal is not None:
                condemned.append((ordinal, pod))
        return cls(stateful_set, wanted, [pod for _, pod in sorted(condemned, key=lambda p: -p[0])], now)

    @property
    def pods(self) -> list[Any]:
        """All there are."""
        return [pod for pod in self.wanted.values() if pod is not None] + self.condemned

    def is_available(self, pod: Any) -> bool:
        """Running and ready for long enough."""
        return is_well(pod) and is_available(pod, self.stateful_set.spec.minReadySeconds or 0, self.now)

    def is_missing(self, pod: Any | None) -> bool:
        """Whether there is nothing to rely on: no pod, one that is not available, or one that goes."""
        return pod is None or bool(pod.metadata.deletionTimestamp) or not self.is_available(pod)


def is_well(pod: Any) -> bool:
    """Running and ready."""
    return pod.status.phase == "Running" and is_ready(pod)


def decide(view: View, update_revision: str) -> list[Step]:
    """The next steps: first to have the pods there should be, then to get rid of others, then to update."""
    ordered = view.stateful_set.spec.podManagementPolicy != "Parallel"
    steps, waits = _fill(view, ordered)
    if ordered and (steps or waits):
        return steps
    surplus, waits = _shrink(view, ordered)
    steps += surplus
    if (ordered and (surplus or waits)) or view.stateful_set.spec.updateStrategy.type == "OnDelete":
        return steps
    touched = {step.ordinal for step in steps}
    return steps + [step for step in _update(view, update_revision) if step.ordinal not in touched]


def _fill(view: View, ordered: bool) -> tuple[list[Step], bool]:
    """(steps, whether something must be waited for)."""
    steps: list[Step] = []
    for ordinal, pod in view.wanted.items():
        step = _next_for(ordinal, pod)
        if step is not None and (step.act != "adjust" or not ordered or not view.is_missing(pod)):
            steps.append(step)
        if ordered and view.is_missing(pod):
            return steps, True
    return steps, False


def _next_for(ordinal: int, pod: Any | None) -> Step | None:
    """What an ordinal lacks. A pod that has ended, well or not, is replaced by another of its name."""
    if pod is None:
        return Step("create", ordinal)
    if pod.metadata.deletionTimestamp:
        return None
    if is_finished(pod):
        return Step("delete", ordinal, pod)
    return None if has_identity(pod, ordinal) else Step("adjust", ordinal, pod)


def _shrink(view: View, ordered: bool) -> tuple[list[Step], bool]:
    steps: list[Step] = []
    unwell = _first_unwell(view)
    for pod in view.condemned:
        ordinal = ordinal_of(view.stateful_set, pod)
        assert ordinal is not None
        if pod.metadata.deletionTimestamp:
            if ordered:
                return steps, True
            continue
        if ordered and view.is_missing(pod) and pod is not unwell:
            # Another that is not well comes first: it may still become so.
            return steps, True
        steps.append(Step("delete", ordinal, pod))
        if ordered:
            return steps, True
    return steps, False


def _first_unwell(view: View) -> Any | None:
    """The pod with the lowest ordinal that is not well."""
    by_ordinal = sorted(view.pods, key=lambda pod: ordinal_of(view.stateful_set, pod) or 0)
    return next((pod for pod in by_ordinal if view.is_missing(pod)), None)


def _update(view: View, revision: str) -> list[Step]:
    """Pods of another revision, highest ordinal first, as many as may be unavailable; one that is so already costs
    nothing."""
    lowest = start_of(view.stateful_set) + partition(view.stateful_set)
    missing = sum(map(view.is_missing, view.wanted.values()))
    room = max_unavailable(view.stateful_set) - missing
    steps = []
    for ordinal, pod in sorted(view.wanted.items(), reverse=True):
        if ordinal < lowest:
            break
        if pod is None or pod.metadata.deletionTimestamp or revision_of(pod) == revision:
            continue
        if view.is_available(pod):
            if room <= 0:
                continue
            room -= 1
        steps.append(Step("delete", ordinal, pod))
    return steps
