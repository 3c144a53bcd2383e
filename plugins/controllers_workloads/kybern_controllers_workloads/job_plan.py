"""What a Job does next: is it over and why, which pods to make, which to stop. Pure functions of a `View`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import attrs

from kybern.reconcile.pods import deletion_order
from kybern_controllers_workloads.job_failures import judge
from kybern_controllers_workloads.job_indexes import NONE, Indexes
from kybern_controllers_workloads.job_view import View, condition

__all__ = ["BURST", "Outcome", "Plan", "completed", "decide"]

BURST = 500
"""Pods made or stopped in one reconcile at most."""


@attrs.frozen
class Outcome:
    """The Job is over, as a condition says before all its pods are gone."""

    type: str
    """SuccessCriteriaMet or FailureTarget."""
    reason: str
    message: str

    @property
    def succeeded(self) -> bool:
        return self.type == "SuccessCriteriaMet"


@attrs.frozen
class Plan:
    """The next steps."""

    outcome: Outcome | None = None
    create: Sequence[int | None] = ()
    """Indexes of pods to make; None for each pod of a Job without indexes."""
    stop: Sequence[Any] = ()
    """Pods to delete."""
    uncounted: bool = False
    """The stopped pods are no failures: they are let go of before they end."""
    wait: float | None = None
    """Seconds until there may be more to do."""
    managed: bool = False
    """Whether the number of pods was looked at (otherwise the cache is behind)."""


def decide(view: View) -> Plan:
    """End the Job if it is over; else have the pods it should have."""
    outcome = _outcome(view)
    if outcome is not None:
        return Plan(outcome, stop=view.active)
    if not view.settled or view.deleted:
        return Plan(wait=view.time_left)
    plan = _manage(view)
    waits = [wait for wait in (plan.wait, view.time_left) if wait is not None]
    return attrs.evolve(plan, wait=min(waits, default=None), managed=True)


def completed(view: View, active: int) -> Outcome | None:
    """Whether the work is done, when `active` pods are left after the plan was carried out."""
    if active:
        return None
    enough = view.succeeded > 0 if view.completions is None else view.succeeded >= view.completions
    message = "Reached expected number of succeeded pods"
    return Outcome("SuccessCriteriaMet", "CompletionsReached", message) if enough else None


def _outcome(view: View) -> Outcome | None:
    """Why the Job is over. What was once decided stays so."""
    for type in ("SuccessCriteriaMet", "FailureTarget"):
        known = condition(view.job.status, type)
        if known is not None:
            return Outcome(type, known.reason or "", known.message or "")
    failure = _failed_by_policy(view) or _failed_by_limit(view) or _failed_by_index(view)
    if failure is not None:
        return Outcome("FailureTarget", *failure)
    return _succeeded_by_policy(view)


def _failed_by_policy(view: View) -> tuple[str, str] | None:
    if view.job.spec.podFailurePolicy is None:
        return None
    for pod in view.pods:
        if view.is_failed(pod) and (judgement := judge(view.job, pod)).action == "FailJob":
            return "PodFailurePolicy", judgement.message
    return None


def _failed_by_limit(view: View) -> tuple[str, str] | None:
    limit = view.job.spec.backoffLimit
    if limit is not None and (view.failed > limit or _restarted_too_often(view, limit)):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if view.time_left is not None and view.time_left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _restarted_too_often(view: View, limit: int) -> bool:
    """Pods that restart their containers in place do not fail; their restarts count instead."""
    if view.job.spec.template.spec.restartPolicy != "OnFailure":
        return False
    return view.restarts >= max(limit, 1)


def _failed_by_index(view: View) -> tuple[str, str] | None:
    lost = len(view.failed_indexes)
    if not lost:
        return None
    allowed = view.job.spec.maxFailedIndexes
    if allowed is not None and lost > allowed:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if lost + view.succeeded >= (view.completions or 0):
        return "FailedIndexes", "Job has failed indexes"
    return None


def _succeeded_by_policy(view: View) -> Outcome | None:
    policy = view.job.spec.successPolicy
    if policy is None or not view.indexed or not view.succeeded:
        return None
    for number, rule in enumerate(policy.rules or ()):
        if _is_met(rule, view):
            return Outcome("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {number}")
    return None


def _is_met(rule: Any, view: View) -> bool:
    count: int | None = rule.succeededCount
    if rule.succeededIndexes is None:
        return count is not None and view.succeeded >= count
    wanted = Indexes.parse(rule.succeededIndexes, view.completions or 0)
    done = wanted.common(view.succeeded_indexes)
    return bool(wanted.ranges) and (done == len(wanted) or (count is not None and done >= count))


def _manage(view: View) -> Plan:
    active = len(view.active)
    if view.suspended:
        return Plan(stop=view.active, uncounted=True)
    wanted = _wanted(view)
    stop = _surplus(view, max(0, active - wanted))
    if stop:
        return Plan(stop=stop[:BURST], uncounted=True)
    room = wanted - active - (len(view.terminating) if view.waits_for_end else 0)
    if room <= 0:
        return Plan()
    if view.per_index:
        return _next_by_index(view, min(room, BURST))
    if wait := view.backoff.wait(view.now):
        return Plan(wait=wait)
    if view.indexed:
        return Plan(create=list(islice(_busy(view).missing(view.completions or 0), min(room, BURST))))
    return Plan(create=[None] * min(room, BURST))


def _wanted(view: View) -> int:
    """How many pods should be active."""
    if view.completions is None:
        # After the first success nothing new is begun; what runs may end.
        return len(view.active) if view.succeeded else view.parallelism
    return max(0, min(view.parallelism, view.completions - view.succeeded - len(view.failed_indexes)))


def _surplus(view: View, count: int) -> list[Any]:
    """The pods to stop: those of no valid index, all but one of the same index, then the least advanced."""
    stop: list[Any] = []
    left = view.active
    if view.indexed:
        stop, left = _without_index(view)
    if count > len(stop):
        stop += deletion_order(left, (), view.now)[: count - len(stop)]
    return stop


def _without_index(view: View) -> tuple[list[Any], list[Any]]:
    stop: list[Any] = []
    kept: dict[int, list[Any]] = {}
    for pod in view.active:
        index = view.index_of(pod)
        if index is None:
            stop.append(pod)
        else:
            kept.setdefault(index, []).append(pod)
    for twins in kept.values():
        if len(twins) > 1:
            twins.sort(key=deletion_order(twins, (), view.now).index)
            stop += twins[:-1]
    return stop, [twins[-1] for twins in kept.values()]


def _busy(view: View) -> Indexes:
    """Indexes that need no pod: done, given up, or being worked on."""
    working = view.active + (view.terminating if view.waits_for_end else [])
    indexes = (view.index_of(pod) for pod in working)
    return view.succeeded_indexes | view.failed_indexes | Indexes.of(i for i in indexes if i is not None)


def _next_by_index(view: View, count: int) -> Plan:
    """Each index has its own back-off: those that must wait do not hold up the others."""
    waits = {index: wait for index in view.last_failed if (wait := view.index_wait(index))}
    busy = _busy(view) | (Indexes.of(waits) if waits else NONE)
    create = list(islice(busy.missing(view.completions or 0), count))
    return Plan(create=create, wait=min(waits.values(), default=None))
