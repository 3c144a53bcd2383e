"""A Job and its pods at one moment, counted: what every decision about the Job is made from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from kybern.api.time import parse_time
from kybern.reconcile.pods import is_active, is_finished, is_ready, is_terminating
from kybern_controllers_workloads.job_failures import Backoff, judge, remaining
from kybern_controllers_workloads.job_indexes import NONE, Indexes
from kybern_controllers_workloads.job_pods import (
    completion_index,
    counted_failures,
    finished_at,
    has_finalizer,
    ignored_failures,
)

__all__ = ["View", "condition", "is_finished_job"]


def condition(status: Any, type: str) -> Any | None:
    """The status' condition of a type, if it is True."""
    return next((c for c in status.conditions or () if c.type == type and c.status == "True"), None)


def is_finished_job(job: Any) -> str:
    """`Complete` or `Failed`, "" while it is neither."""
    if not job.status.conditions:
        return ""
    return next((type for type in ("Complete", "Failed") if condition(job.status, type)), "")


class View:
    """Read-only. `released`: uids of pods whose finalizer was taken away and may still show in the cache."""

    def __init__(
        self,
        job: Any,
        pods: Sequence[Any],
        now: float,
        *,
        released: frozenset[str] = frozenset(),
        settled: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        self.job = job
        self.pods = pods
        self.now = now
        self.settled = settled
        """Whether the cache shows all that was created and deleted."""
        self.known_backoff = backoff or Backoff()
        self._released = released
        spec, status = job.spec, job.status
        self.completions: int | None = spec.completions
        self.parallelism: int = 1 if spec.parallelism is None else spec.parallelism
        self.indexed: bool = spec.completionMode == "Indexed"
        self.per_index: bool = self.indexed and spec.backoffLimitPerIndex is not None
        self.suspended = bool(spec.suspend)
        self.resumes = not self.suspended and condition(status, "Suspended") is not None
        self.deleted = bool(job.metadata.deletionTimestamp)
        uncounted = status.uncountedTerminatedPods
        self.uncounted_succeeded = frozenset(uncounted.succeeded or () if uncounted is not None else ())
        self.uncounted_failed = frozenset(uncounted.failed or () if uncounted is not None else ())

    @cached_property
    def waits_for_end(self) -> bool:
        """Whether a pod is replaced (and counted) only when it has ended, not when it is told to."""
        spec = self.job.spec
        return spec.podReplacementPolicy == "Failed" or spec.podFailurePolicy is not None

    @cached_property
    def active(self) -> list[Any]:
        """Pods that work or are about to."""
        return [pod for pod in self.pods if is_active(pod)]

    @cached_property
    def terminating(self) -> list[Any]:
        """Pods that are being deleted and have not ended."""
        return [pod for pod in self.pods if is_terminating(pod)]

    @cached_property
    def tracked(self) -> list[Any]:
        """Pods that have not been counted for good; of an indexed Job in the order of their indexes."""
        found = [pod for pod in self.pods if has_finalizer(pod) and pod.metadata.uid not in self._released]
        return sorted(found, key=lambda pod: _or_minus(completion_index(pod))) if self.indexed else found

    @cached_property
    def ready(self) -> int:
        """Active pods that are ready."""
        return sum(map(is_ready, self.active))

    def is_failed(self, pod: Any) -> bool:
        """Whether the pod counts as failed. One that was deleted may never come to say so itself."""
        if pod.status.phase == "Failed":
            return True
        return not self.waits_for_end and bool(pod.metadata.deletionTimestamp) and pod.status.phase != "Succeeded"

    def index_of(self, pod: Any) -> int | None:
        """The pod's index, if the Job has such a one."""
        index = completion_index(pod)
        return index if index is not None and index < (self.completions or 0) else None

    def belongs(self, pod: Any) -> bool:
        """Whether the pod's end means anything: not so for an index that was scaled away."""
        return not self.indexed or self.index_of(pod) is not None

    @cached_property
    def newly_succeeded(self) -> list[Any]:
        """Pods whose success the status does not know of."""
        noted = self.uncounted_succeeded | self.uncounted_failed
        return [
            pod
            for pod in self.tracked
            if pod.status.phase == "Succeeded" and pod.metadata.uid not in noted and self.belongs(pod)
        ]

    @cached_property
    def newly_failed(self) -> list[Any]:
        """Pods whose failure the status does not know of."""
        return [
            pod
            for pod in self.tracked
            if self.is_failed(pod) and pod.metadata.uid not in self.uncounted_failed and self.belongs(pod)
        ]

    @cached_property
    def succeeded(self) -> int:
        """Successes so far; of an indexed Job the indexes that are done."""
        if self.indexed:
            return len(self.succeeded_indexes)
        return (self.job.status.succeeded or 0) + len(self.uncounted_succeeded) + len(self.newly_succeeded)

    @cached_property
    def failed(self) -> int:
        """Failures so far that count."""
        new = sum(judge(self.job, pod).counts for pod in self.newly_failed)
        return (self.job.status.failed or 0) + len(self.uncounted_failed) + new

    @cached_property
    def succeeded_indexes(self) -> Indexes:
        known = Indexes.parse(self.job.status.completedIndexes, self.completions or 0)
        # A pod that was noted as failed when it was deleted stays so, even if it succeeds on its way out.
        done = [pod for pod in self.tracked if pod.status.phase == "Succeeded"]
        indexes = (self.index_of(pod) for pod in done if pod.metadata.uid not in self.uncounted_failed)
        return known | Indexes.of(index for index in indexes if index is not None)

    @cached_property
    def failed_indexes(self) -> Indexes:
        """Indexes that failed once more than they may."""
        if not self.per_index:
            return NONE
        known = Indexes.parse(self.job.status.failedIndexes, self.completions or 0)
        lost = (self.index_of(pod) for pod in self.tracked if self._is_index_lost(pod))
        return known | Indexes.of(index for index in lost if index is not None)

    def _is_index_lost(self, pod: Any) -> bool:
        if not self.is_failed(pod):
            return False
        judgement = judge(self.job, pod)
        if judgement.action == "FailIndex":
            return True
        return judgement.counts and counted_failures(pod) >= self.job.spec.backoffLimitPerIndex

    @cached_property
    def last_failed(self) -> dict[int, Any]:
        """The pod to replace by index; it is kept until then, as its successor takes over its count of failures."""
        if not self.per_index:
            return {}
        working = {self.index_of(pod) for pod in self.active}
        found: dict[int, Any] = {}
        for pod in self.tracked:
            index = self.index_of(pod)
            if index is None or index in working or not self.is_failed(pod):
                continue
            if index in self.succeeded_indexes or index in self.failed_indexes:
                continue
            if index not in found or _age(found[index]) <= _age(pod):
                found[index] = pod
        return found

    @cached_property
    def backoff(self) -> Backoff:
        """Of the whole Job."""
        return self.known_backoff.after(self.newly_succeeded, self.newly_failed)

    def index_wait(self, index: int) -> float:
        """Seconds until the next pod of an index may be made."""
        pod = self.last_failed.get(index)
        if pod is None:
            return 0.0
        return remaining(counted_failures(pod) + ignored_failures(pod) + 1, finished_at(pod), self.now)

    @cached_property
    def restarts(self) -> int:
        """How often containers of unfinished pods were restarted."""
        return sum(
            status.restartCount or 0
            for pod in self.pods
            if not is_finished(pod) and pod.status.phase in ("Running", "Pending")
            for status in (*(pod.status.initContainerStatuses or ()), *(pod.status.containerStatuses or ()))
        )

    @cached_property
    def time_left(self) -> float | None:
        """Seconds until activeDeadlineSeconds are over; None when they do not run."""
        limit = self.job.spec.activeDeadlineSeconds
        if limit is None or self.suspended:
            return None
        started = self.job.status.startTime
        since = self.now if not started or self.resumes else parse_time(started)
        return float(since + limit - self.now)


def _or_minus(index: int | None) -> int:
    return -1 if index is None else index


def _age(pod: Any) -> tuple[int, float]:
    return counted_failures(pod) + ignored_failures(pod), finished_at(pod)
