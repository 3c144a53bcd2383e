"""The numbers of a set's status: how many of its pods are active, labeled as the template, ready, available.

A large set is counted again and again while it starts, and most of its pods have not changed in
between. What was found about a version of a pod is therefore kept until the next count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from kybern.reconcile.pods import is_available, is_finished, is_ready

__all__ = ["Count", "Known", "count"]

Judged = tuple[Any, bool, bool, bool, bool]
"""(pod, active, terminating, labeled as the template, ready). It holds the pod, so that nothing else gets its id."""


@attrs.define
class Known:
    """What the last count found, by the `id` of the pod's object: objects of a cache never change."""

    generation: int | None = None
    """Of the owner: another selector or template judges differently."""
    pods: Mapping[int, Judged] = attrs.field(factory=dict)

    def of(self, generation: int | None) -> Mapping[int, Judged]:
        """What still holds for this generation of the owner."""
        return self.pods if generation == self.generation else {}


@attrs.define
class Count:
    """What the status says about the pods, and which of them are active."""

    active: list[Any] = attrs.field(factory=list)
    fully_labeled: int = 0
    ready: int = 0
    available: int = 0
    terminating: int = 0
    judged: dict[int, Judged] = attrs.field(factory=dict)


def count(
    pods: Sequence[Any],
    template_labels: Mapping[str, str],
    min_ready_seconds: int,
    now: float,
    known: Mapping[int, Judged] | None = None,
) -> Count:
    """Tally the claimed pods, with what is known of them already."""
    counted, known, wanted = Count(), known or {}, template_labels.items()
    active, judged = counted.active, counted.judged
    for pod in pods:
        found = known.get(id(pod))
        if found is None:
            found = _judge(pod, wanted)
        judged[id(pod)] = found
        _, is_active, is_terminating, labeled, ready = found
        counted.terminating += is_terminating
        if is_active:
            active.append(pod)
            counted.fully_labeled += labeled
            if ready:
                counted.ready += 1
                counted.available += not min_ready_seconds or is_available(pod, min_ready_seconds, now)
    return counted


def _judge(pod: Any, wanted: Any) -> Judged:
    left = not is_finished(pod)
    deleted = bool(pod.metadata.deletionTimestamp)
    labeled = wanted <= (pod.metadata.labels or {}).items()
    return pod, left and not deleted, left and deleted, labeled, is_ready(pod)
