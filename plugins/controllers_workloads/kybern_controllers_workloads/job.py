"""Job: runs pods until enough of them have succeeded, or too many have failed.

A reconcile looks at the Job and its pods (`job_view`), decides (`job_plan`), makes and stops pods,
and counts those that ended (`job_status`) in steps that a crash between any two cannot spoil.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.reconcile.bursts import all_at_once, slow_start
from kybern.reconcile.expectations import Expectations
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import controller_of, controller_reference, label_test
from kybern.reconcile.pods import is_ready, owner_index
from kybern_controllers_workloads import job_pods, job_status
from kybern_controllers_workloads.job_failures import Backoff, next_failures
from kybern_controllers_workloads.job_plan import Outcome, Plan, completed, decide
from kybern_controllers_workloads.job_view import View, is_finished_job
from kybern_controllers_workloads.newest import Newest
from kybern_controllers_workloads.pod_writer import PodWriter, namespace_ends

NAME = "kubernetes.io/job-controller"
"""Jobs whose `managedBy` says another are left alone."""
SETTLING = 250e-6
"""Seconds a pod's change may wait per pod of the Job, a second at most: many end at the same time."""


@attrs.frozen
class _Done:
    """What of a plan was carried out."""

    active: int
    ready: int
    terminating: int
    stopped: frozenset[str] = frozenset()
    """Uids of the pods that go."""
    left: bool = False
    """Whether some do not that should."""
    error: Exception | None = None


class JobController(Controller):
    """One-off work: parallel, indexed, with limits to failure."""

    name = "job"

    def setup(self, context: Context) -> None:
        from kybern.api.batch import Job
        from kybern.api.core import Pod

        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.writer = PodWriter(context.client, context.events)
        self.expectations = Expectations(context.clock)
        self.pod, self.kind = Pod, Job
        self.newest = Newest()
        self._backoff: dict[Key, Backoff] = {}
        self._released: dict[Key, set[str]] = {}
        self.jobs = context.watch(Job, on=self.newest.is_news)
        self.jobs.add_index("selector", _selector_index)
        self.pods = context.informer(Pod)
        self.pods.add_index("job", job_pods.job_index)
        self.pods.add_index("owner", owner_index)
        self.pods.on_change(self._pod_changed)

    def _pod_changed(self, old: Any, new: Any) -> None:
        pod = new if new is not None else old
        key = _job_of(pod)
        if old is not None and new is not None and (before := _job_of(old)) not in (None, key):
            self.context.enqueue(before)
        if key is None:
            if new is not None and controller_of(new) is None:
                for job in self._wanting(new):
                    self.context.enqueue(Key(job.metadata.namespace, job.metadata.name))
            return
        uid, last = pod.metadata.uid, False
        if new is None or not job_pods.has_finalizer(new):
            self._released.get(key, set()).discard(uid)
        if old is None:
            last = self.expectations.created(key)
        if new is None or new.metadata.deletionTimestamp:
            last = self.expectations.deleted(key, uid) or last
        self._wake(key, last)

    def _wake(self, key: Key, at_once: bool) -> None:
        job: Any = self.jobs.get(key.name, key.namespace)
        size = (job.status.active or 0) if job is not None else 0
        self.context.enqueue(key, min(SETTLING * size, 1.0) if size > 20 and not at_once else 0.0)

    def _wanting(self, pod: Any) -> Iterable[Any]:
        """Jobs that would adopt a pod that nobody owns."""
        labels = pod.metadata.labels or {}
        found = self.jobs.by_index("selector", f"manual/{pod.metadata.namespace}")
        found += self.jobs.by_index("selector", labels.get(job_pods.UID_LABEL, ""))
        return [job for job in found if label_test(job.spec.selector)(labels)]

    async def reconcile(self, key: Key) -> Result | None:
        job: Any = self.newest.current(key, self.jobs.get(key.name, key.namespace))
        if job is None:
            self._forget(key)
            self.newest.forget(key)
            return None
        if job.spec.managedBy not in (None, NAME) or is_finished_job(job):
            self._forget(key)
            return None
        wait = self.expectations.wait(key)
        view = self._view(key, job, await self._pods_of(job), settled=not wait)
        plan = decide(view)
        done = await self._carry_out(key, view, plan)
        more = await self._account(key, view, plan, done)
        if done.error is not None:
            raise done.error
        waits = [seconds for seconds in (wait or None, plan.wait) if seconds is not None]
        return Result(0.0) if more else Result(min(waits)) if waits else None

    def _forget(self, key: Key) -> None:
        self.expectations.forget(key)
        self._backoff.pop(key, None)
        self._released.pop(key, None)

    def _view(self, key: Key, job: Any, pods: list[Any], settled: bool) -> View:
        released = frozenset(self._released.get(key, ()))
        if key not in self._backoff:
            owned = self.pods.by_index("owner", job.metadata.uid)
            self._backoff[key] = Backoff.of(pod for pod in owned if not job_pods.has_finalizer(pod))
        backoff = self._backoff[key]
        return View(job, pods, self.clock.now(), released=released, settled=settled, backoff=backoff)

    async def _pods_of(self, job: Any) -> list[Any]:
        """The Job's pods that still matter, after adopting and letting go."""
        uid, matches = job.metadata.uid, label_test(job.spec.selector)
        owned: list[Any] = self.pods.by_index("job", uid)
        strangers = [pod for pod in owned if not matches(pod.metadata.labels)]
        for pod in strangers if not job.metadata.deletionTimestamp else ():
            await self._change_owner(pod, job_pods.without_finalizer(pod), _others(pod, uid))
        found = [pod for pod in owned if matches(pod.metadata.labels)]
        return found + await self._adopt(job, matches)

    async def _adopt(self, job: Any, matches: Any) -> list[Any]:
        uid = job.metadata.uid
        orphans: list[Any] = self.pods.by_index("job", f"orphans/{uid}")
        if job.spec.manualSelector:
            orphans = self.pods.by_index("owner", f"orphans/{job.metadata.namespace}")
        wanted = [p for p in orphans if matches(p.metadata.labels) and not p.metadata.deletionTimestamp]
        if not wanted or job.metadata.deletionTimestamp:
            return []
        fresh: Any = await self.client.get(self.kind, job.metadata.name, job.metadata.namespace)
        if fresh.metadata.uid != uid or fresh.metadata.deletionTimestamp:
            return []
        adopted = []
        for pod in wanted:
            patch = job_pods.without_finalizer(pod)
            patch["metadata"]["finalizers"] = [*(patch["metadata"]["finalizers"] or ()), job_pods.FINALIZER]
            owners = [*_others(pod, uid), types.to_plain(controller_reference(job))]
            if (mine := await self._change_owner(pod, patch, owners)) is not None:
                adopted.append(mine)
        return adopted

    async def _change_owner(self, pod: Any, patch: dict[str, Any], owners: list[Any]) -> Any | None:
        patch["metadata"]["ownerReferences"] = owners or None
        return await self._patch(pod, patch)

    async def _patch(self, pod: Any, patch: dict[str, Any]) -> Any | None:
        """The pod afterwards; None when it is gone. When it has changed meanwhile the conflict brings a fresh look."""
        try:
            return await self.client.patch(self.pod, pod.metadata.name, pod.metadata.namespace, patch)
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def _carry_out(self, key: Key, view: View, plan: Plan) -> _Done:
        if plan.create:
            return await self._create(key, view, plan)
        if plan.stop:
            return await self._stop(key, view, plan)
        return _Done(len(view.active), view.ready, len(view.terminating))

    async def _create(self, key: Key, view: View, plan: Plan) -> _Done:
        job, indexes = view.job, plan.create
        template = job_pods.pod_template(job)
        self.expectations.expect(key, creations=len(indexes))

        async def create_one(number: int) -> None:
            index = indexes[number]
            failures = next_failures(job, view.last_failed.get(index)) if view.per_index and index is not None else None
            try:
                await self.writer.create(job, job_pods.new_pod(job, template, index, failures))
            except StatusError as error:
                # Whoever got no answer in time may have a pod nevertheless: the cache will tell.
                if error.code != 504:
                    raise

        created, error = await slow_start(len(indexes), create_one)
        self.expectations.created(key, len(indexes) - created)
        if error is not None and namespace_ends(error):
            error = None
        return _Done(len(view.active) + created, view.ready, len(view.terminating), error=error)

    async def _stop(self, key: Key, view: View, plan: Plan) -> _Done:
        stopped: list[Any] = []
        uids = {pod.metadata.uid for pod in plan.stop}
        if view.settled:
            self.expectations.expect(key, deletions=uids)

        async def stop_one(pod: Any) -> None:
            if await self._stop_pod(view.job, pod, plan.uncounted):
                stopped.append(pod)

        errors = await all_at_once(plan.stop, stop_one)
        gone = {pod.metadata.uid for pod in stopped}
        for uid in uids - gone:
            self.expectations.deleted(key, uid)
        return _Done(
            len(view.active) - len(stopped),
            view.ready - sum(map(is_ready, stopped)),
            len(view.terminating) + len(stopped),
            stopped=frozenset(gone),
            left=gone != uids,
            error=errors[0] if errors else None,
        )

    async def _stop_pod(self, job: Any, pod: Any, uncounted: bool) -> bool:
        """Whether it goes, and is not gone by itself already."""
        if uncounted and job_pods.has_finalizer(pod):
            pod = await self._patch(pod, job_pods.without_finalizer(pod))
            if pod is None:
                return False
        try:
            await self.writer.delete(job, pod)
        except StatusError as error:
            if error.code != 404:
                raise
        return True

    async def _account(self, key: Key, view: View, plan: Plan, done: _Done) -> bool:
        """Write the status, let go of counted pods, write again; whether not all could be counted at once."""
        outcome = _outcome(view, plan, done)
        tally = job_status.tally(view, outcome)
        news = self._fill_in(view, plan, done, outcome, tally.status)
        job = await self._write_status(key, view.job, tally.status)
        self._backoff[key] = view.backoff
        if news:
            self.events.event(job, "Normal", news, f"Job {news.lower()}")
        # A pod that was just told to go has changed: it is let go of when its event comes.
        released, error = await self._release(key, [p for p in tally.release if p.metadata.uid not in done.stopped])
        tracked = {pod.metadata.uid for pod in view.tracked} - released
        status = types.copy(job.status)
        job_status.count(status, tracked)
        if outcome is not None and not (tally.more or tracked or done.terminating or error):
            job_status.finish(status, outcome, view.now)
        job = await self._write_status(key, job, status)
        if is_finished_job(job) and outcome is not None:
            self._tell_end(job, outcome)
        if error is not None:
            raise error
        return tally.more

    def _fill_in(self, view: View, plan: Plan, done: _Done, outcome: Outcome | None, status: Any) -> str:
        """Everything but the counts; the reason of the Event that this is worth."""
        status.active = done.active or None
        status.ready, status.terminating = done.ready, done.terminating
        never_began = view.suspended and (outcome is None or view.completions == 0)
        if not status.startTime and not never_began:
            status.startTime = format_time(view.now)
        if outcome is not None:
            job_status.note_outcome(status, outcome, view.now)
            return ""
        if not plan.managed:
            return ""
        if view.suspended and not done.active:
            # Nothing of it runs: it may start anew, and until then its template may be changed (KEP-5440).
            status.startTime = None
        return job_status.note_suspension(status, view.suspended, view.now)

    async def _write_status(self, key: Key, job: Any, status: Any) -> Any:
        self.newest.writes(key, status)
        if status == job.status:
            return job
        changed = types.copy(job)
        changed.status = status
        written = await self.client.update_status(changed)
        self.newest.wrote(key, job, written)
        return written

    async def _release(self, key: Key, pods: Sequence[Any]) -> tuple[set[str], Exception | None]:
        """Take the finalizer away; uids of the pods that have none any more."""
        pending = self._released.setdefault(key, set())
        released: set[str] = set()

        async def release_one(pod: Any) -> None:
            uid = pod.metadata.uid
            pending.add(uid)
            try:
                await self._patch(pod, job_pods.without_finalizer(pod))
                released.add(uid)
            finally:
                if uid not in released:
                    pending.discard(uid)

        errors = await all_at_once(pods, release_one)
        return released, errors[0] if errors else None

    def _tell_end(self, job: Any, outcome: Outcome) -> None:
        if not outcome.succeeded:
            self.events.event(job, "Warning", outcome.reason, outcome.message)
            return
        if job.spec.completions is not None and (job.status.succeeded or 0) > job.spec.completions:
            text = "Too many succeeded pods running after completion count reached"
            self.events.event(job, "Warning", "TooManySucceededPods", text)
        self.events.event(job, "Normal", "Completed", "Job completed")


def _outcome(view: View, plan: Plan, done: _Done) -> Outcome | None:
    outcome = plan.outcome or (completed(view, done.active) if plan.managed else None)
    # Pods that are left, or that the cache does not show yet, may still end in their own way.
    return None if done.left or not view.settled else outcome


def _job_of(pod: Any) -> Key | None:
    reference = controller_of(pod)
    if reference is None or reference.kind != "Job":
        return None
    return Key(pod.metadata.namespace, reference.name)


def _selector_index(job: Any) -> Iterable[str]:
    return (f"manual/{job.metadata.namespace}" if job.spec.manualSelector else job.metadata.uid,)


def _others(pod: Any, uid: str) -> list[Any]:
    """The pod's owners but the one, as plain data."""
    return [types.to_plain(r) for r in pod.metadata.ownerReferences or () if r.uid != uid]
