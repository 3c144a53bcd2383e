"""A Job's status, and the count that loses no pod and counts none twice.

A pod that ended is first noted by uid in `uncountedTerminatedPods`, then its finalizer is taken
away, then the note becomes a number (KEP-2307). Whoever dies in between is continued by the next
one from the status and the finalizers alone. For a success of an indexed Job the index is the note.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs

from kybern.api import types
from kybern.api.time import format_time
from kybern_controllers_workloads.job_failures import judge
from kybern_controllers_workloads.job_plan import Outcome
from kybern_controllers_workloads.job_view import View

__all__ = ["Tally", "count", "finish", "note_outcome", "note_suspension", "tally"]

MOST_UNCOUNTED = 500
"""Keeps the status small, and one Job from starving others."""


@attrs.define
class Tally:
    """The status to write before finalizers are taken away, and from which pods."""

    status: Any
    release: list[Any]
    more: bool = False
    """Not all fitted."""


def tally(view: View, outcome: Outcome | None) -> Tally:
    """Count what needs no more waiting, note what ended."""
    status = _copy(view.job)
    count(status, {pod.metadata.uid for pod in view.tracked})
    succeeded, failed = _uncounted(status)
    found = Tally(status, [])
    new_indexes = 0
    for pod in view.tracked:
        if new_indexes + len(succeeded) + len(failed) >= MOST_UNCOUNTED:
            found.more = True
            break
        if not _may_release(view, pod, outcome):
            continue
        found.release.append(pod)
        end = _new_end(view, pod, outcome)
        if end == "Succeeded" and view.indexed:
            new_indexes += 1
        elif end:
            (succeeded if end == "Succeeded" else failed).append(pod.metadata.uid)
    _set_uncounted(status, succeeded, failed)
    if view.indexed:
        _set_indexes(status, view)
    return found


def _new_end(view: View, pod: Any, outcome: Outcome | None) -> str:
    """How a pod that is let go of is to be noted; "" when it is already, or means nothing."""
    uid = pod.metadata.uid
    if uid in view.uncounted_succeeded or uid in view.uncounted_failed or not view.belongs(pod):
        return ""
    if pod.status.phase == "Succeeded":
        return "Succeeded"
    return "Failed" if _is_failure(view, pod, outcome) else ""


def _set_indexes(status: Any, view: View) -> None:
    status.completedIndexes = str(view.succeeded_indexes) or None
    status.succeeded = len(view.succeeded_indexes) or None
    if view.per_index:
        status.failedIndexes = str(view.failed_indexes)


def _may_release(view: View, pod: Any, outcome: Outcome | None) -> bool:
    if view.deleted or outcome is not None or pod.status.phase == "Succeeded":
        return True
    if not view.is_failed(pod):
        return False
    index = view.index_of(pod)
    return index is None or view.last_failed.get(index) is not pod


def _is_failure(view: View, pod: Any, outcome: Outcome | None) -> bool:
    """When a Job fails, the pods that it takes down with it are failures too; when it succeeds they are not."""
    if outcome is not None and outcome.succeeded and pod.metadata.deletionTimestamp:
        return False
    failed = view.is_failed(pod) or (outcome is not None and not outcome.succeeded)
    return failed and judge(view.job, pod).counts


def count(status: Any, tracked: Collection[str]) -> None:
    """Noted pods whose finalizer is gone become numbers."""
    succeeded, failed = _uncounted(status)
    left = [uid for uid in succeeded if uid in tracked], [uid for uid in failed if uid in tracked]
    status.succeeded = (status.succeeded or 0) + len(succeeded) - len(left[0]) or None
    status.failed = (status.failed or 0) + len(failed) - len(left[1]) or None
    _set_uncounted(status, *left)


def _copy(job: Any) -> Any:
    from kybern.api.batch import UncountedTerminatedPods

    status = types.copy(job.status)
    if status.uncountedTerminatedPods is None:
        status.uncountedTerminatedPods = UncountedTerminatedPods()
    return status


def _uncounted(status: Any) -> tuple[list[str], list[str]]:
    noted = status.uncountedTerminatedPods
    return list(noted.succeeded or ()), list(noted.failed or ())


def _set_uncounted(status: Any, succeeded: list[str], failed: list[str]) -> None:
    noted = status.uncountedTerminatedPods
    noted.succeeded, noted.failed = succeeded or None, failed or None


def set_condition(status: Any, type: str, value: str, reason: str, message: str, now: float) -> bool:
    """Set a condition, False only where it was True before; whether that changed it."""
    from kybern.api.batch import JobCondition

    old = status.conditions or []
    known = next((c for c in old if c.type == type), None)
    if known is None and value == "False":
        return False
    if known is not None and (known.status, known.reason or "", known.message or "") == (value, reason, message):
        return False
    time = format_time(now)
    new = JobCondition(
        type=type,
        status=value,
        reason=reason,
        message=message,
        lastProbeTime=time,
        lastTransitionTime=time,
    )
    status.conditions = [new if c is known else c for c in old] if known is not None else [*old, new]
    return True


def note_outcome(status: Any, outcome: Outcome, now: float) -> None:
    """Say that the Job is about to be over, and why."""
    set_condition(status, outcome.type, "True", outcome.reason, outcome.message, now)


def note_suspension(status: Any, suspended: bool, now: float) -> str:
    """Say whether the Job is suspended; `Suspended` or `Resumed` when that is new."""
    if suspended:
        return "Suspended" if set_condition(status, "Suspended", "True", "JobSuspended", "Job suspended", now) else ""
    if not set_condition(status, "Suspended", "False", "JobResumed", "Job resumed", now):
        return ""
    # The deadline counts from here: it is about the time that the Job is active without a break.
    status.startTime = format_time(now)
    return "Resumed"


def finish(status: Any, outcome: Outcome, now: float) -> None:
    """The last word."""
    type = "Complete" if outcome.succeeded else "Failed"
    set_condition(status, type, "True", outcome.reason, outcome.message, now)
    if outcome.succeeded:
        status.completionTime = format_time(now)
