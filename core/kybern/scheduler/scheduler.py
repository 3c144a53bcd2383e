"""The scheduler: takes pods from the queue, lets the cycle pick a node, binds.

Informers keep the snapshot and the queue current; one loop runs cycle after cycle without a break in
each; bindings and other writes run beside it. Nothing is kept across a restart: pods that were bound
are seen on their nodes, all others are tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.scheduler.config import SchedulerConfig, build_profile, load
from kybern.scheduler.cycle import Cycle, NoNodes
from kybern.scheduler.diagnosis import NO_NODES_POLICY, Diagnosis, FitError
from kybern.scheduler.nominator import Nominator
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Action, ClusterEvent, Code, CycleState, Handle, Policy, Resource, Status
from kybern.scheduler.profile import PolicyFailure, Profile
from kybern.scheduler.queue import QueuedPod, SchedulingQueue
from kybern.scheduler.snapshot import NUMPY_FROM, Snapshot
from kybern.scheduler.waiting import Rejected, WaitingPods
from kybern.scheduler.watching import Watching

if TYPE_CHECKING:
    from kybern.client.interface import Client
    from kybern.clock import Clock
    from kybern.reconcile.interface import EventRecorder, Informer

__all__ = ["Scheduler"]

log = logging.getLogger(__name__)

CYCLES_AT_ONCE = 4
"""Cycles before other tasks of the event loop get their turn, and how long they may take together, in seconds."""
TIME_AT_ONCE = 0.005


class Informers(Protocol):
    """Where shared informers come from (`kybern.reconcile.informers.Informers`)."""

    def informer(self, kind: type[Any]) -> Informer[Any]:
        """The informer of a kind."""


class _ProfileHandle(Handle):
    """The scheduler as the policies of one profile see it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.client = scheduler.client
        self.clock = scheduler.clock
        self.events = scheduler.events
        self.snapshot = scheduler.snapshot
        self.nominator = scheduler.nominator
        self.random = scheduler.random

    def informer(self, kind: type[Any]) -> Informer[Any]:
        return self._scheduler.informer(kind)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._scheduler.spawn(work)

    def activate(self, uid: str) -> None:
        self._scheduler.queue.activate(uid)

    def reject_waiting(self, uid: str, policy: str, message: str) -> bool:
        return self._scheduler.waiting.reject(uid, policy, message)

    def allow_waiting(self, uid: str, policy: str) -> bool:
        return self._scheduler.waiting.allow(uid, policy)


class Scheduler:
    """One scheduler with all its profiles. `await run()` works until cancelled."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        clock: Clock,
        events: EventRecorder,
        policies: Iterable[type[Policy]],
        config: SchedulerConfig | Mapping[str, Any] | None = None,
        *,
        seed: int | None = None,
        numpy_from: int = NUMPY_FROM,
    ) -> None:
        """`policies` are the classes that plugins registered; `config` a KubeSchedulerConfiguration (plain data)
        or None for the default profile. `seed` makes the choice between equal nodes repeatable."""
        self.client = client
        self.clock = clock
        self.events = events
        self.config = config if isinstance(config, SchedulerConfig) else load(config)
        self.snapshot = Snapshot(numpy_from)
        self.nominator = Nominator()
        self.random = Random(seed)  # nothing secret, and it must be seedable
        self.waiting = WaitingPods(clock)
        self._informers = informers
        self._asked: dict[type[Any], Informer[Any]] = {}
        self._work: set[asyncio.Task[None]] = set()
        """Bindings and writes under way; plain tasks, for there is one per pod and a group costs more than they do."""
        handle = _ProfileHandle(self)
        self._cycle = Cycle(handle, self.config.percentage_of_nodes)
        chosen = list(policies)
        self.profiles: dict[str, Profile] = {
            p.scheduler_name: build_profile(p, chosen, _ProfileHandle(self)) for p in self.config.profiles
        }
        self.queue = SchedulingQueue(
            clock,
            lambda pod: self.profiles[pod.pod.spec.schedulerName or "default-scheduler"],
            initial_backoff=self.config.initial_backoff,
            max_backoff=self.config.max_backoff,
        )
        self._watching = Watching(self)

    def informer(self, kind: type[Any]) -> Informer[Any]:
        """The shared informer; `run` waits for all that were asked for."""
        if kind not in self._asked:
            self._asked[kind] = self._informers.informer(kind)
        return self._asked[kind]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work_done)

    def _work_done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("work beside the scheduling loop failed", exc_info=task.exception())

    async def run(self) -> None:
        """Schedule pods until cancelled."""
        self._watching.start()
        for informer in list(self._asked.values()):
            await informer.synced()
        try:
            await self._loop()
        finally:
            self.queue.close()
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)

    async def _loop(self) -> None:
        while True:
            await self.queue.ready()
            begun = self.clock.monotonic()
            for _ in range(CYCLES_AT_ONCE):
                queued = self.queue.pop_now()
                if queued is None:
                    break
                self.schedule_one(queued)
                if self.clock.monotonic() - begun > TIME_AT_ONCE:
                    break
            await self.clock.sleep(0)

    def schedule_one(self, queued: QueuedPod) -> None:
        """One cycle: from a pod to a decision. The binding runs beside it."""
        pod = queued.pod
        if pod.terminating:
            text = f"skip schedule deleting pod: {pod.namespace}/{pod.name}"
            self.events.event(pod.pod, "Warning", "FailedScheduling", text, action="Scheduling")
            self.queue.done(pod.uid)
            return
        if pod.uid in self.snapshot.pods:
            self.queue.done(pod.uid)
            return
        profile = self.profiles[pod.pod.spec.schedulerName or "default-scheduler"]
        state = CycleState()
        try:
            node = self._cycle.select(profile, state, pod)
        except FitError as error:
            self._no_fit(queued, profile, state, error)
        except NoNodes as error:
            self._failed(queued, str(error), {NO_NODES_POLICY}, nominated="")
        except Exception as error:  # a faulty policy must not stop the scheduler
            self._failed(queued, _text(error), nominated="")
        else:
            self._take(queued, profile, state, node)

    def _no_fit(self, queued: QueuedPod, profile: Profile, state: CycleState, error: FitError) -> None:
        diagnosis = error.diagnosis
        nominated = None if profile.post_filters else ""
        try:
            nomination, message = profile.post_filter(state, queued.pod, diagnosis.statuses, diagnosis.absent)
            diagnosis.after_filter = message
            if nomination is not None:
                nominated = nomination.node
        except Exception as failure:
            diagnosis.after_filter = _text(failure)
        self._failed(queued, diagnosis.message(), diagnosis.rejected_by, nominated=nominated)

    def _take(self, queued: QueuedPod, profile: Profile, state: CycleState, node: str) -> None:
        """Assume the pod on its node, reserve, and start the binding."""
        pod = queued.pod
        self.snapshot.add_pod(pod, node, assumed=True)
        self.nominator.remove(pod.uid)
        try:
            objection = profile.reserve(state, pod, node)
            waits: dict[str, float] = {}
            if objection is None:
                objection, waits = profile.permit(state, pod, node)
                if objection is not None:
                    profile.unreserve(state, pod, node)
        except Exception as error:
            profile.unreserve(state, pod, node)
            self.snapshot.remove_pod(pod.uid)
            self._failed(queued, _text(error), nominated="")
            return
        if objection is not None:
            self.snapshot.remove_pod(pod.uid)
            self._turned_down(queued, objection, node)
            return
        if waits:
            self.waiting.hold(pod.uid, waits)
            self.queue.hold(pod.uid)
        self.spawn(self._bind(queued, profile, state, pod, node, waits))

    def _turned_down(self, queued: QueuedPod, objection: Status, node: str) -> None:
        if not objection.rejected:
            self._failed(queued, objection.message, nominated="")
            return
        diagnosis = Diagnosis(1, {node: objection})
        self._failed(queued, diagnosis.message(), {objection.policy}, nominated="")

    async def _bind(
        self, queued: QueuedPod, profile: Profile, state: CycleState, pod: PodInfo, node: str, waits: dict[str, float]
    ) -> None:
        try:
            if waits:
                await self.waiting.wait(pod.uid, waits)
            await profile.bind(state, pod, node)
        except Rejected as error:
            self._give_back(profile, state, pod, node)
            self._turned_down(queued, Status(Code.UNSCHEDULABLE, (str(error),), error.policy), node)
        except Exception as error:  # whatever went wrong, the pod must be tried again
            self._give_back(profile, state, pod, node)
            self._failed(queued, _text(error), nominated="")
        else:
            self.queue.done(pod.uid)
            text = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
            self.events.event(pod.pod, "Normal", "Scheduled", text, action="Binding")

    def _give_back(self, profile: Profile, state: CycleState, pod: PodInfo, node: str) -> None:
        """The pod does not get its node after all: others may have the room."""
        profile.unreserve(state, pod, node)
        if pod.uid in self.snapshot.assumed:
            self.snapshot.remove_pod(pod.uid)
            event = ClusterEvent(Resource.ASSIGNED_POD, Action.DELETE)
            self.queue.happened(event, pod.pod, None, only=lambda other: other.uid != pod.uid)

    def _failed(
        self, queued: QueuedPod, message: str, rejected_by: Iterable[str] | None = None, *, nominated: str | None
    ) -> None:
        """Put the pod back and tell its user. `rejected_by` None: an error, not a verdict. `nominated`: the node it
        is nominated to from now on ("" none, None as before)."""
        pod = queued.pod
        current = self._watching.pods.get(pod.name, pod.namespace)
        if current is None or current.spec.nodeName or (current.metadata.uid and current.metadata.uid != pod.uid):
            self.queue.done(pod.uid)
            return
        if current is not pod.pod:
            pod = queued.pod = PodInfo(current)
        self.queue.requeue(queued, frozenset(rejected_by or ()))
        if nominated is not None:
            self.nominator.nominate(pod, nominated)
        self.events.event(pod.pod, "Warning", "FailedScheduling", _shortened(message), action="Scheduling")
        reason = "SchedulerError" if rejected_by is None else "Unschedulable"
        patch = self._status_patch(current, reason, message, nominated)
        if patch is not None:
            self.spawn(self._patch_status(current, patch))

    def _status_patch(self, pod: Any, reason: str, message: str, nominated: str | None) -> dict[str, Any] | None:
        patch: dict[str, Any] = {}
        if nominated is not None and (pod.status.nominatedNodeName or "") != nominated:
            patch["nominatedNodeName"] = nominated or None
        known = next((c for c in pod.status.conditions or () if c.type == "PodScheduled"), None)
        if known is None or (known.status, known.reason, known.message) != ("False", reason, message):
            condition: dict[str, Any] = {
                "type": "PodScheduled",
                "status": "False",
                "reason": reason,
                "message": message,
            }
            if known is None or known.status != "False":
                condition["lastTransitionTime"] = format_time(self.clock.now())
            if pod.metadata.generation:
                condition["observedGeneration"] = pod.metadata.generation
            patch["conditions"] = [condition]
        return patch or None

    async def _patch_status(self, pod: Any, patch: dict[str, Any]) -> None:
        meta = pod.metadata
        body = {"metadata": {"uid": meta.uid}, "status": patch}
        try:
            await self.client.patch(type(pod), meta.name, meta.namespace, body, type="strategic", subresource="status")
        except StatusError:
            return  # deleted or replaced meanwhile; otherwise the next attempt writes it again


def _text(error: Exception) -> str:
    if isinstance(error, StatusError):
        return f"binding rejected: {error.message}"
    return str(error) if isinstance(error, PolicyFailure) else f"{type(error).__name__}: {error}"


def _shortened(message: str, limit: int = 1024) -> str:
    return message if len(message) <= limit else message[: limit - 5] + " ..."
