"""One pod on one node: a serial worker in one of three states, as the kubelet's.

`SYNC` brings the pod about and keeps it so; `TERMINATING` stops its containers in order;
`TERMINATED` reports the end, deletes the API object if asked to, and removes what is left. A pass
reads the runtime afresh, decides (decide.py) and acts; whatever may change the decision only calls
`kick`. Between passes a worker costs no task.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from typing import TYPE_CHECKING, Any

from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.clock import Timer
from kybern.node.admit import Refusal
from kybern.node.decide import decide
from kybern.node.pod_probes import PodProbes
from kybern.node.pod_runtime import PodRuntime, read_pod
from kybern.node.pod_status import View, has_ended, pod_status
from kybern.node.pod_volumes import PodVolumes
from kybern.node.probing import KINDS
from kybern.node.resize import resize_pod, resizes
from kybern.node.runtime import ContainerState, RuntimeFault
from kybern.node.start import start_pod
from kybern.node.stop import stop_pod
from kybern.node.termination_message import with_log_messages
from kybern.node.verdicts import Verdicts

if TYPE_CHECKING:
    from kybern.node.hosted_node import HostedNode

__all__ = ["PodWorker", "State"]

log = logging.getLogger(__name__)

_SLOW_SYNC = 0.25


class State(Enum):
    """Never goes back."""

    SYNC = "sync"
    TERMINATING = "terminating"
    TERMINATED = "terminated"


class PodWorker:
    """All that a node does for one pod."""

    __slots__ = (
        "_dirty", "_task", "_timer", "_timer_due", "admitted", "failed", "grace", "known", "marked", "node",
        "pod", "probes", "removed", "reported", "resize", "settled", "state", "stop_by", "uid", "verdicts",
        "volumes", "waiting",
    )  # fmt: skip

    def __init__(self, node: HostedNode, pod: Any) -> None:
        self.node = node
        self.pod = pod
        self.uid: str = pod.metadata.uid
        self.state = State.SYNC
        self.known = PodRuntime()
        self.verdicts = Verdicts()
        self.verdicts.adopt(pod)
        self.waiting: dict[str, tuple[str, str]] = {}
        self.failed: tuple[str, str] | None = _disruption(pod)
        """Reason and message when the pod as a whole failed."""
        self.admitted = False
        self.removed = False
        """The API object is gone."""
        self.reported: Any = None
        """The last status that was sent."""
        self.resize: Refusal | None = None
        """Why a wanted change of resources is not in force."""
        self.marked = False
        """Waits in the status writer's queue."""
        self.settled = False
        """Everything was stopped and the last status may be written."""
        self.grace: float | None = None
        self.stop_by: float | None = None
        """Wall time at which a container that still runs is killed."""
        self.volumes = PodVolumes(self)
        self.probes = PodProbes(self)
        self._dirty = False
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._timer_due = 0.0

    # What happens to it

    def update(self, pod: Any) -> None:
        """The API object changed."""
        old, self.pod = self.pod, pod
        if old.metadata.annotations != pod.metadata.annotations:
            self.node.runtime.pod_annotated(self.uid, pod.metadata.annotations or {})
        if self.state is State.SYNC and pod.metadata.deletionTimestamp:
            self.terminate(self._deletion_grace())
        elif self.state is State.TERMINATING and pod.metadata.deletionTimestamp:
            self._shorten(self._deletion_grace())
        elif self._concerns(old, pod):
            self.kick()
        elif pod.status != self.reported:
            self.node.mark(self)

    def _concerns(self, old: Any, new: Any) -> bool:
        """Whether a change may lead to other actions, not only to another status."""
        if self.state is State.SYNC and new.status.phase in ("Failed", "Succeeded"):
            return True
        if self.state is State.TERMINATED and new.metadata.deletionTimestamp and not old.metadata.deletionTimestamp:
            return True
        return _asks_more(old, new)

    def remove(self) -> None:
        """The API object is gone."""
        self.removed = True
        if self.state is State.SYNC:
            self.terminate(self._deletion_grace())
        else:
            self._shorten(1.0)
            self.kick()

    def fail(self, reason: str, message: str, grace: float | None = None) -> None:
        """End the pod as Failed (eviction, deadline, shutdown)."""
        if self.state is State.SYNC:
            self.failed = (reason, message)
            self.terminate(self._spec_grace() if grace is None else grace)

    def terminate(self, grace: float) -> None:
        """Stop all containers within `grace` seconds."""
        self.state = State.TERMINATING
        self.grace = grace
        self.stop_by = self.node.clock.now() + grace
        self._interrupt()

    def kick(self) -> None:
        """Look at the pod (again)."""
        self._dirty = True
        if self._task is None and self.node.alive:
            self._task = self.node.spawn(self._run(None))

    def wake_in(self, seconds: float) -> None:
        """Look again after a while; the earliest wish counts."""
        due = self.node.clock.monotonic() + seconds
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.node.clock.call_later(seconds, self._wake)

    def close(self) -> None:
        """The node stops; whatever runs keeps running."""
        self.probes.stop(KINDS)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()

    def view(self) -> View:
        """What the status is computed from, beside pod and runtime."""
        return View(
            now=self.node.clock.now(),
            verdicts=self.verdicts,
            runtime_name=self.node.runtime_name,
            host_ips=self.node.host_ips,
            waiting=self.waiting,
            terminal=self.settled,
            failed=self.failed,
            resize=self.resize,
        )

    def status(self) -> Any:
        """The status to report."""
        return pod_status(self.pod, self.known, self.view())

    # How it runs

    def _wake(self) -> None:
        self._timer = None
        self.kick()

    def _interrupt(self) -> None:
        """Give up the pass that runs and begin anew."""
        self._dirty = True
        running = self._task
        if running is not None:
            running.cancel()
        if self.node.alive:
            self._task = self.node.spawn(self._run(running))

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            while self._dirty:
                self._dirty = False
                await self._pass()
        except (RuntimeFault, StatusError) as error:
            log.info("pod %s/%s: %s", self.pod.metadata.namespace, self.pod.metadata.name, error)
            self.wake_in(self.node.agent.config.retry_interval)
        except Exception:
            log.exception("pod %s/%s could not be synced", self.pod.metadata.namespace, self.pod.metadata.name)
            self.wake_in(self.node.agent.config.retry_interval)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _pass(self) -> None:
        if self.state is State.SYNC:
            await self._sync()
        if self.state is State.TERMINATING:
            await self._stop()
        if self.state is State.TERMINATED:
            await self._finish()

    async def _read(self) -> None:
        known = await read_pod(self.node.runtime, self.uid)
        self.known = await with_log_messages(self.node.runtime, self.pod, known, self.known)

    async def _sync(self) -> None:
        await self._read()
        if self._over() or not self._admit():
            return
        slow = self.node.clock.call_later(_SLOW_SYNC, self.node.mark, self)
        try:
            if await self._ready_to_start():
                await self._advance()
                await self._adjust()
        finally:
            slow.cancel()
            self.probes.follow()
            self.node.mark(self)

    async def _advance(self) -> None:
        """Decide and act until there is nothing to do but wait."""
        while actions := decide(self.pod, self.known, self.verdicts):
            progress = await start_pod(self, actions)
            await self._read()
            if not progress or self._over():
                break
        await self._prune()

    async def _adjust(self) -> None:
        """Bring resources in line; a container that had to stop for that is started again in the next pass."""
        if not self.known.containers or self.state is not State.SYNC:
            return
        await resize_pod(self)
        if self.resize is None and resizes(self.pod, self.known):
            await self._read()
            self._dirty |= bool(decide(self.pod, self.known, self.verdicts))

    def _over(self) -> bool:
        """Whether the pod came to its end; then it is terminating."""
        pod = self.pod
        if pod.status.phase in ("Failed", "Succeeded") or self.failed is not None:
            self.terminate_now()
            return True
        deadline = pod.spec.activeDeadlineSeconds
        if deadline is not None:
            now = self.node.clock.now()
            left = (parse_time(pod.status.startTime) if pod.status.startTime else now) + deadline - now
            if left <= 0:
                message = "Pod was active on the node longer than the specified deadline"
                self.node.tell(pod, "Normal", "DeadlineExceeded", message)
                self.failed = ("DeadlineExceeded", message)
                self.terminate_now(self._spec_grace())
                return True
            self.wake_in(left)
        if self.known.containers and has_ended(pod, self.known):
            self.terminate_now()
            return True
        return False

    def terminate_now(self, grace: float | None = None) -> None:
        """As `terminate`, from within a pass: the same pass goes on with stopping."""
        self.state = State.TERMINATING
        self.grace = self._spec_grace() if grace is None else grace
        self.stop_by = self.node.clock.now() + self.grace

    def _admit(self) -> bool:
        if self.admitted:
            return True
        if self.known.sandboxes:
            self.node.readmit(self.pod)
        elif (refusal := self.node.admit(self)) is not None:
            self.node.tell(self.pod, "Warning", refusal.reason, refusal.message)
            self.failed = (refusal.reason, f"Pod was rejected: {refusal.message}")
            self.state = State.TERMINATED
            self.settled = True
            return False
        self.admitted = True
        return True

    async def _ready_to_start(self) -> bool:
        """Whether node and volumes are ready for the pod; otherwise it comes again."""
        if self.known.ready_sandbox is not None and any(
            c.state is ContainerState.RUNNING for c in self.known.containers
        ):
            return True
        if not self.pod.spec.hostNetwork and (wait := self.node.network_wait()):
            self.wake_in(wait)
            return False
        return await self.volumes.are_ready()

    async def _prune(self) -> None:
        """Keep one dead instance per container, for its log and last state."""
        for name in {c.name for c in self.known.containers}:
            for old in self.known.history(name)[2:]:
                if old.state is not ContainerState.RUNNING:
                    await self.node.runtime.remove_container(old.id)

    # How it ends

    def _spec_grace(self) -> float:
        grace = self.pod.spec.terminationGracePeriodSeconds
        return float(30 if grace is None else grace)

    def _deletion_grace(self) -> float:
        grace = self.pod.metadata.deletionGracePeriodSeconds
        return max(float(grace), 1.0) if grace is not None else self._spec_grace()

    def _shorten(self, grace: float) -> None:
        """While it stops, somebody asks for more haste."""
        by = self.node.clock.now() + grace
        if self.state is State.TERMINATING and self.stop_by is not None and by < self.stop_by - 1.0:
            self.stop_by = by
            self._interrupt()

    async def _stop(self) -> None:
        self.probes.stop(("startup", "liveness"))
        await self._read()
        if self.known.running:
            slow = self.node.clock.call_later(_SLOW_SYNC, self.node.mark, self)
            try:
                await stop_pod(self)
            finally:
                slow.cancel()
        for sandbox in self.known.sandboxes:
            await self.node.runtime.stop_pod_sandbox(sandbox.id)
        await self._read()
        self.probes.stop(KINDS)
        self.settled = True
        self.state = State.TERMINATED

    async def _finish(self) -> None:
        self.settled = True
        self.node.release(self)
        if self.removed:
            for sandbox in self.known.sandboxes or await self.node.runtime.list_pod_sandboxes(self.uid):
                await self.node.runtime.remove_pod_sandbox(sandbox.id)
            self.close_quietly()
            self.node.forget(self)
        else:
            self.node.mark(self)

    def close_quietly(self) -> None:
        """Drop timers and probes; nothing is left to do."""
        self.probes.stop(KINDS)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _asks_more(old: Any, new: Any) -> bool:
    """Whether anything but the status changed."""
    before, after = old.metadata, new.metadata
    if (
        before.generation != after.generation
        or before.annotations != after.annotations
        or before.labels != after.labels
    ):
        return True
    return not before.generation and old.spec != new.spec


def _disruption(pod: Any) -> tuple[str, str] | None:
    """The failure that an earlier agent had begun to carry out."""
    for condition in pod.status.conditions or ():
        if (condition.type, condition.status, condition.reason) == ("DisruptionTarget", "True", "TerminationByKubelet"):
            shutdown = (condition.message or "").startswith("Pod was terminated in response")
            return ("Terminated" if shutdown else "Evicted"), condition.message or ""
    return None
