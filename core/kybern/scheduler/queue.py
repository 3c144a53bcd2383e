"""Where pods wait for the scheduler.

A pod is in one of four places: *active* (may be tried now, best `sort_key` first), *backing off*
(failed lately), *unschedulable* (waits for an event that one of the policies that rejected it
asked for, see `Policy.hints`), or *gated* (a policy keeps it out at `pre_enqueue`). Pods that no
event wakes are tried again after five minutes anyway.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from kybern.clock import Clock, Timer
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import ClusterEvent, Hint, Policy, Status

__all__ = ["QueueProfile", "QueuedPod", "SchedulingQueue"]

FLUSH_AFTER = 300.0
FLUSH_EVERY = 30.0
MISSED_KEPT = 1000


class QueueProfile(Protocol):
    """What the queue needs to know of a scheduling profile."""

    pre_enqueue: Sequence[Policy]

    def sort_key(self, pod: PodInfo, queued_at: float) -> Any:
        """The smaller goes first."""

    def hints(self, policy: str) -> Sequence[Hint]:
        """The events that a policy wants."""


class QueuedPod:
    """A pod on its way through the queue."""

    __slots__ = (
        "backoff_until",
        "failures",
        "gated_by",
        "indexed_by",
        "place",
        "pod",
        "queued_at",
        "rejected_by",
        "waiting_since",
    )

    def __init__(self, pod: PodInfo, now: float) -> None:
        self.pod = pod
        self.queued_at = now
        self.waiting_since = now
        self.failures = 0
        """Failed cycles that count for the back-off."""
        self.backoff_until = 0.0
        self.rejected_by: frozenset[str] = frozenset()
        """Policies whose events may wake it."""
        self.indexed_by: frozenset[str] = frozenset()
        """Policies under which the queue finds it while it is unschedulable."""
        self.gated_by: Status | None = None
        self.place = ""
        """`active`, `backoff`, `unschedulable`, or "" while its cycle runs."""


class SchedulingQueue:
    """All pods that want a node. Not thread-safe; lives on the event loop."""

    def __init__(
        self,
        clock: Clock,
        profile_of: Callable[[PodInfo], QueueProfile],
        *,
        initial_backoff: float = 1.0,
        max_backoff: float = 10.0,
    ) -> None:
        self._clock = clock
        self._profile_of = profile_of
        self._initial_backoff = initial_backoff
        self._max_backoff = max_backoff
        self._pods: dict[str, QueuedPod] = {}
        self._active: list[tuple[Any, int, QueuedPod]] = []
        self._backoff: list[tuple[float, int, QueuedPod]] = []
        self._unschedulable: dict[str, QueuedPod] = {}
        self._rejected: dict[tuple[QueueProfile, str], dict[str, QueuedPod]] = {}
        """Unschedulable pods by (profile, policy that rejected them)."""
        self._missed: dict[str, deque[tuple[ClusterEvent, Any, Any]]] = {}
        """Events since a pod was decided upon, by uid, for pods that wait to be permitted and may yet be rejected."""
        self._sequence = itertools.count()
        self._waiter: asyncio.Future[None] | None = None
        self._backoff_timer: Timer | None = None
        self._flush_timer: Timer | None = None

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> QueuedPod | None:
        """The pod, wherever it waits or while its cycle runs."""
        return self._pods.get(uid)

    def places(self) -> dict[str, list[str]]:
        """Names of the pods in each place, for people and tests."""
        found: dict[str, list[str]] = {}
        for queued in self._pods.values():
            place = "gated" if queued.gated_by is not None else queued.place or "in flight"
            found.setdefault(place, []).append(queued.pod.name)
        return found

    def add(self, pod: PodInfo) -> None:
        """A new pod without a node."""
        known = self._pods.get(pod.uid)
        if known is not None:
            self.update(pod)
            return
        queued = self._pods[pod.uid] = QueuedPod(pod, self._clock.now())
        self._enqueue(queued)

    def update(self, pod: PodInfo, event: ClusterEvent | None = None) -> None:
        """A waiting pod changed. `event`: the change as a TARGET_POD event, which may wake it."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            self.add(pod)
            return
        old, queued.pod = queued.pod, pod
        if queued.place == "active":
            if old.priority != pod.priority:
                self._to_active(queued)
        elif event is not None:
            self._consider(queued, event, old.pod, pod.pod)

    def remove(self, uid: str) -> None:
        """The pod was deleted, or has a node."""
        self._missed.pop(uid, None)
        queued = self._pods.pop(uid, None)
        if queued is not None:
            self._leave(queued)

    def done(self, uid: str) -> None:
        """The pod's cycle ended well."""
        self.remove(uid)

    def requeue(self, queued: QueuedPod, rejected_by: Collection[str]) -> None:
        """The pod's cycle failed. `rejected_by` empty: an error; try again after the back-off."""
        if queued.pod.uid not in self._pods or queued.place:
            return
        now = self._clock.now()
        queued.failures += 1
        queued.backoff_until = now + self._backoff_of(queued)
        queued.queued_at = queued.waiting_since = now
        queued.rejected_by = frozenset(rejected_by)
        missed = self._missed.pop(queued.pod.uid, ())
        if not rejected_by:
            self._to_backoff(queued)
            return
        self._to_unschedulable(queued)
        for event, old, new in missed:
            self._consider(queued, event, old, new)

    def hold(self, uid: str) -> None:
        """The pod has a node but is not permitted yet: should it be rejected, what happens from now on counts."""
        self._missed[uid] = deque(maxlen=MISSED_KEPT)

    def activate(self, uid: str) -> None:
        """Try a waiting pod now, whatever it waits for."""
        queued = self._pods.get(uid)
        if queued is not None and queued.place in ("backoff", "unschedulable"):
            self._enqueue(queued)

    def happened(self, event: ClusterEvent, old: Any, new: Any, only: Callable[[PodInfo], bool] | None = None) -> None:
        """Something changed in the cluster: wake the pods that it may help. `only` narrows them further."""
        for missed in self._missed.values():
            missed.append((event, old, new))
        for profile, policy in list(self._rejected):
            hints = [hint for hint in profile.hints(policy) if hint.event.covers(event)]
            if not hints:
                continue
            for queued in list(self._rejected.get((profile, policy), {}).values()):
                if (only is None or only(queued.pod)) and _wanted(hints, queued.pod, old, new):
                    self._wake(queued)

    def _consider(self, queued: QueuedPod, event: ClusterEvent, old: Any, new: Any) -> None:
        if queued.place != "unschedulable":
            return
        profile = self._profile_of(queued.pod)
        for policy in queued.rejected_by:
            hints = [hint for hint in profile.hints(policy) if hint.event.covers(event)]
            if _wanted(hints, queued.pod, old, new):
                self._wake(queued)
                return

    def _wake(self, queued: QueuedPod) -> None:
        if queued.gated_by is None and self._clock.now() < queued.backoff_until:
            self._to_backoff(queued)
        else:
            self._enqueue(queued)

    def _enqueue(self, queued: QueuedPod) -> None:
        """To the active pods, unless a policy still holds the pod back."""
        for policy in self._profile_of(queued.pod).pre_enqueue:
            objection = policy.pre_enqueue(queued.pod)
            if objection is not None:
                queued.gated_by = objection
                queued.rejected_by = frozenset((policy.name,))
                queued.waiting_since = self._clock.now()
                self._to_unschedulable(queued)
                return
        queued.gated_by = None
        self._to_active(queued)

    def _backoff_of(self, queued: QueuedPod) -> float:
        doublings = min(queued.failures - 1, 32)
        return min(self._initial_backoff * 2.0**doublings, self._max_backoff)

    def _leave(self, queued: QueuedPod) -> None:
        if queued.place == "unschedulable":
            del self._unschedulable[queued.pod.uid]
            self._index(queued, remove=True)
        queued.place = ""

    def _index(self, queued: QueuedPod, *, remove: bool = False) -> None:
        profile, uid = self._profile_of(queued.pod), queued.pod.uid
        for policy in queued.indexed_by if remove else queued.rejected_by:
            pods = self._rejected.setdefault((profile, policy), {})
            if remove:
                pods.pop(uid, None)
            else:
                pods[uid] = queued
            if not pods:
                del self._rejected[profile, policy]
        queued.indexed_by = frozenset() if remove else queued.rejected_by

    def _to_active(self, queued: QueuedPod) -> None:
        self._leave(queued)
        queued.place = "active"
        key = self._profile_of(queued.pod).sort_key(queued.pod, queued.queued_at)
        heapq.heappush(self._active, (key, next(self._sequence), queued))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _to_backoff(self, queued: QueuedPod) -> None:
        self._leave(queued)
        queued.place = "backoff"
        heapq.heappush(self._backoff, (queued.backoff_until, next(self._sequence), queued))
        if self._backoff[0][2] is queued or self._backoff_timer is None:
            self._set_backoff_timer()

    def _to_unschedulable(self, queued: QueuedPod) -> None:
        self._leave(queued)
        queued.place = "unschedulable"
        self._unschedulable[queued.pod.uid] = queued
        self._index(queued)
        if self._flush_timer is None:
            self._flush_timer = self._clock.call_later(FLUSH_EVERY, self._flush_unschedulable)

    def _set_backoff_timer(self) -> None:
        if self._backoff_timer is not None:
            self._backoff_timer.cancel()
            self._backoff_timer = None
        if self._backoff:
            wait = max(0.0, self._backoff[0][0] - self._clock.now())
            self._backoff_timer = self._clock.call_later(wait, self._flush_backoff)

    def _flush_backoff(self) -> None:
        self._backoff_timer = None
        now = self._clock.now()
        while self._backoff and self._backoff[0][0] <= now:
            until, _, queued = heapq.heappop(self._backoff)
            if queued.place == "backoff" and queued.backoff_until == until:
                self._enqueue(queued)
        self._set_backoff_timer()

    def _flush_unschedulable(self) -> None:
        self._flush_timer = None
        limit = self._clock.now() - FLUSH_AFTER
        for queued in list(self._unschedulable.values()):
            if queued.gated_by is None and queued.waiting_since <= limit:
                self._wake(queued)
        if self._unschedulable:
            self._flush_timer = self._clock.call_later(FLUSH_EVERY, self._flush_unschedulable)

    def pop_now(self) -> QueuedPod | None:
        """The next pod to try; None when no pod is active."""
        while self._active:
            queued = heapq.heappop(self._active)[2]
            if queued.place == "active" and self._pods.get(queued.pod.uid) is queued:
                queued.place = ""
                return queued
        return None

    async def ready(self) -> None:
        """Return once a pod is active."""
        while not any(entry[2].place == "active" for entry in self._active[:1]):
            if self._active:
                heapq.heappop(self._active)
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._backoff_timer, self._flush_timer):
            if timer is not None:
                timer.cancel()


def _wanted(hints: Sequence[Hint], pod: PodInfo, old: Any, new: Any) -> bool:
    return any(hint.wants is None or hint.wants(pod, old, new) for hint in hints)
