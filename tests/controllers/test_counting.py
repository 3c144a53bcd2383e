"""The tally of a set's pods, and what it keeps from one count to the next."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Pod
from kybern_controllers_workloads.counting import Known, count

LABELS = {"app": "web"}


def pod(name: str, *, phase: str = "Running", ready: bool = True, deleted: bool = False, **labels: str) -> Any:
    metadata: dict[str, Any] = {"name": name, "labels": labels or LABELS}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return types.from_plain(Pod, {"metadata": metadata, "status": {"phase": phase, "conditions": [condition]}})


PODS = [
    pod("ready"),
    pod("starting", ready=False),
    pod("other", app="db"),
    pod("leaving", deleted=True),
    pod("done", phase="Succeeded"),
    pod("done-and-deleted", phase="Failed", deleted=True),
]


@pytest.mark.parametrize("again", [False, True])
def test_what_is_counted_as_what(again: bool) -> None:
    known = count(PODS, LABELS, 0, 0.0).judged if again else None
    counted = count(PODS, LABELS, 0, 0.0, known)
    assert [p.metadata.name for p in counted.active] == ["ready", "starting", "other"]
    assert (counted.fully_labeled, counted.ready, counted.available, counted.terminating) == (2, 2, 2, 1)


def test_a_new_version_of_a_pod_is_looked_at_again() -> None:
    first = count([pod("a", ready=False)], LABELS, 0, 0.0)
    assert (first.ready, count([pod("a")], LABELS, 0, 0.0, first.judged).ready) == (0, 1)


def test_availability_follows_the_time_whatever_is_known() -> None:
    ready = pod("a")
    first = count([ready], LABELS, 10, 1767225605.0)
    assert (first.available, count([ready], LABELS, 10, 1767225610.0, first.judged).available) == (0, 1)


def test_another_generation_of_the_owner_knows_nothing() -> None:
    known = Known(1, count(PODS, LABELS, 0, 0.0).judged)
    assert len(known.of(1)) == len(PODS)
    assert known.of(2) == {}


def test_pods_that_are_gone_are_forgotten() -> None:
    judged = count(PODS, LABELS, 0, 0.0).judged
    assert len(count(PODS[:1], LABELS, 0, 0.0, judged).judged) == 1
