"""Checks what is written to a Job's status, by the Job controller or, for Jobs that say `managedBy`, by another's.

Those who wait for Jobs rely on it: an end is announced before it comes, it is final, and no pod is
counted after it. A rule is asked only when what it is about changes, so that a status that is at
fault already (a spec may change under it) does not keep anybody from mending the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kybern.api.batch.failure_policy import count_indexes
from kybern.api.core.podspec import workload
from kybern.api.field import Errors, Path
from kybern.api.time import parse_time

__all__ = ["has_condition", "validate_status_update"]

STATUS = Path("status")
CONDITIONS = STATUS.child("conditions")
COUNTS = ("active", "succeeded", "failed", "ready", "terminating")


def has_condition(obj: Any, type: str, status: str = "True") -> bool:
    """Whether the Job's condition of that type is so."""
    return any(c.type == type and c.status == status for c in obj.status.conditions or ())


def _is_finished(obj: Any) -> bool:
    return has_condition(obj, "Complete") or has_condition(obj, "Failed")


class _Changes:
    """What of a status is another than before."""

    def __init__(self, new: Any, old: Any) -> None:
        self._new, self._old = new, old
        self.finished = _is_finished(new) != _is_finished(old)

    def fields(self, *names: str) -> bool:
        return any(getattr(self._new.status, name) != getattr(self._old.status, name) for name in names)

    def conditions(self, *types: str) -> bool:
        return any(has_condition(self._new, type) != has_condition(self._old, type) for type in types)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts, times, indexes and conditions fit each other, and nothing final is taken back."""
    workload.not_negative(errors, STATUS, new.status, *COUNTS)
    _validate_uncounted(errors, new.status)
    changes = _Changes(new, old)
    _validate_ends(errors, new, changes)
    _validate_finished(errors, new, changes)
    _validate_times(errors, new, old, changes)
    if changes.fields("completedIndexes", "failedIndexes"):
        _validate_indexes(errors, new, changes)
    ready = new.status.ready
    if ready is not None and ready > (new.status.active or 0) and changes.fields("ready", "active"):
        errors.invalid(STATUS.child("ready"), ready, "cannot set more ready pods than active")
    _validate_kept(errors, new, old)


def _validate_uncounted(errors: Errors, status: Any) -> None:
    uncounted = status.uncountedTerminatedPods
    seen: set[str] = set()
    for field in ("succeeded", "failed") if uncounted is not None else ():
        for i, uid in enumerate(getattr(uncounted, field) or ()):
            at = STATUS.child("uncountedTerminatedPods", field).index(i)
            if not uid:
                errors.invalid(at, uid, "must not be empty")
            elif uid in seen:
                errors.duplicate(at, uid)
            seen.add(uid)


def _validate_ends(errors: Errors, new: Any, changes: _Changes) -> None:
    """Which conditions go together."""
    for text in _contradictions(lambda type: has_condition(new, type), changes, new.spec.successPolicy is not None):
        errors.invalid_as_a_whole(CONDITIONS, text)


def _contradictions(has: Callable[[str], bool], changes: _Changes, policy: bool) -> Iterator[str]:
    complete, failed, met, target = (has(t) for t in ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"))
    if complete and failed and changes.conditions("Complete", "Failed"):
        yield "cannot set Complete=True and Failed=true conditions"
    if complete and target and changes.conditions("Complete", "FailureTarget"):
        yield "cannot set Complete=True and FailureTarget=true conditions"
    if failed and not target and (changes.conditions("Failed") or changes.fields("failedIndexes")):
        yield "cannot set Failed=True condition without the FailureTarget=true condition"
    if complete and not met and changes.conditions("Complete", "SuccessCriteriaMet"):
        yield "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
    if met and failed:
        yield "cannot set SuccessCriteriaMet=True and Failed=true conditions"
    if met and target:
        yield "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"
    if complete and policy and not met:
        yield "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"


def _validate_finished(errors: Errors, new: Any, changes: _Changes) -> None:
    """Nothing of a finished Job is left to do."""
    if not _is_finished(new):
        return
    status, spec = new.status, new.spec
    for field in ("active", "terminating"):
        if getattr(status, field) and (changes.finished or changes.fields(field)):
            errors.invalid(STATUS.child(field), getattr(status, field), f"{field}>0 is invalid for finished job")
    uncounted = status.uncountedTerminatedPods
    left = uncounted is not None and (uncounted.succeeded or uncounted.failed)
    if left and (changes.finished or changes.fields("uncountedTerminatedPods")):
        errors.invalid(STATUS.child("uncountedTerminatedPods"), uncounted, "must be empty for finished job")
    never_began = spec.suspend and spec.completions == 0
    if not status.startTime and not never_began and (changes.finished or changes.fields("startTime")):
        errors.required(STATUS.child("startTime"), "startTime is required for finished job")


def _validate_times(errors: Errors, new: Any, old: Any, changes: _Changes) -> None:
    start, end = new.status.startTime, new.status.completionTime
    at, complete = STATUS.child("completionTime"), has_condition(new, "Complete")
    if changes.conditions("Complete") or changes.fields("completionTime"):
        if end and not complete:
            errors.invalid(at, end, "cannot set completionTime when there is no Complete=True condition")
        if complete and not end:
            errors.required(at, "completionTime is required for Complete jobs")
    if changes.fields("startTime", "completionTime") and start and end and parse_time(end) < parse_time(start):
        errors.invalid(at, end, "must be equal to or after `startTime`")
    if end and old.status.completionTime and end != old.status.completionTime:
        errors.invalid(at, end, workload.IMMUTABLE)
    resumes = has_condition(old, "Suspended") and has_condition(new, "Suspended", "False")
    if old.status.startTime and changes.fields("startTime") and not resumes and not new.spec.suspend:
        errors.required(STATUS.child("startTime"), "startTime cannot be removed for unsuspended job")


def _validate_indexes(errors: Errors, new: Any, changes: _Changes) -> None:
    spec, status = new.spec, new.status
    for field in ("completedIndexes", "failedIndexes") if spec.completions is not None else ():
        text = getattr(status, field)
        try:
            if changes.fields(field) and (field == "completedIndexes" or spec.backoffLimitPerIndex is not None):
                count_indexes(text or "", spec.completions)
        except ValueError as error:
            errors.invalid(STATUS.child(field), text, f"error parsing {field}: {error}")
    done, lost = status.completedIndexes, status.failedIndexes
    if done and spec.completionMode != "Indexed" and changes.fields("completedIndexes"):
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.invalid(STATUS.child("completedIndexes"), done, text)
    if lost is not None and spec.backoffLimitPerIndex is None and changes.fields("failedIndexes"):
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.invalid(STATUS.child("failedIndexes"), lost, text)
    if lost and done and spec.completions is not None and (both := _first_of_both(done, lost)) is not None:
        errors.invalid(
            STATUS.child("failedIndexes"), lost, f"failedIndexes and completedIndexes overlap at index: {both}"
        )


def _first_of_both(done: str, lost: str) -> int | None:
    """The first index that two lists share; parts that are no ranges are told of elsewhere."""
    ranges, others = list(_ranges(done)), list(_ranges(lost))
    return min((max(a, c) for a, b in ranges for c, d in others if a <= d and c <= b), default=None)


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            yield int(first), int(last or first)


def _validate_kept(errors: Errors, new: Any, old: Any) -> None:
    """What is once so stays so, and counts only grow."""
    for type in ("Failed", "Complete", "FailureTarget"):
        if has_condition(old, type) and not has_condition(new, type):
            errors.invalid_as_a_whole(CONDITIONS, f"cannot disable the terminal {type}=True condition")
    spec = new.spec
    may_shrink = spec.completionMode == "Indexed" and spec.completions == spec.parallelism
    for field in ("failed", "succeeded"):
        count = getattr(new.status, field) or 0
        if count < (getattr(old.status, field) or 0) and not (field == "succeeded" and may_shrink):
            errors.invalid(STATUS.child(field), count, f"cannot decrease the {field} counter")
    met, was_met = has_condition(new, "SuccessCriteriaMet"), has_condition(old, "SuccessCriteriaMet")
    if was_met and not met:
        errors.invalid_as_a_whole(CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if met and not was_met and has_condition(old, "Complete"):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        errors.invalid_as_a_whole(CONDITIONS, text)
