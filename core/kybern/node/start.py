"""Carrying out `Actions`: sandbox, init containers, sidecars, main containers, each in its turn.

What goes wrong becomes the container's waiting reason and an event, and the worker comes again
when another try makes sense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern.node.container_config import container_config, sandbox_config
from kybern.node.decide import Actions
from kybern.node.env import ConfigProblem
from kybern.node.image_puller import ImageProblem
from kybern.node.pod_runtime import read_pod
from kybern.node.runtime import ContainerState, ContainerStatus, PodSandbox, PodSandboxConfig, RuntimeFault
from kybern.node.stop import stop_container, stop_pod

if TYPE_CHECKING:
    from kybern.node.pod_worker import PodWorker

__all__ = ["start_pod"]

_SHOW_BACKOFF_AFTER = 2.0
"""How long an error shows before its back-off does."""


class _Wait(Exception):
    """The container cannot start now."""

    def __init__(self, reason: str, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


async def start_pod(worker: PodWorker, actions: Actions) -> bool:
    """Carry the actions out; whether anything changed, so that there may be more to do."""
    node, changed = worker.node, False
    if actions.create_sandbox and worker.known.sandbox is not None:
        node.tell(worker.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
    if actions.stop_pod:
        await stop_pod(worker)
        for old in worker.known.sandboxes:
            await node.runtime.stop_pod_sandbox(old.id)
        changed = True
    for kill in actions.kill:
        await stop_container(worker, kill.container, kill.status, _probe_grace(worker, kill), kill.why)
        changed = True
    if not (actions.start_ephemeral or actions.start_init or actions.start):
        return changed
    sandbox = await _sandbox(worker, actions)
    if sandbox is None:
        return changed
    config = sandbox_config(worker.pod, sandbox.attempt, node.config)
    for container in [*actions.start_ephemeral, *actions.start_init, *actions.start]:
        changed |= await _start(worker, container, sandbox, config)
    return changed


def _probe_grace(worker: PodWorker, kill: Any) -> float:
    if kill.probe:
        own = getattr(kill.container, kill.probe + "Probe").terminationGracePeriodSeconds
        if own is not None:
            return float(own)
    grace = worker.pod.spec.terminationGracePeriodSeconds
    return float(30 if grace is None else grace)


async def _sandbox(worker: PodWorker, actions: Actions) -> PodSandbox | None:
    if not actions.create_sandbox:
        return worker.known.ready_sandbox
    node, pod = worker.node, worker.pod
    try:
        config = sandbox_config(pod, actions.attempt, node.config)
        made = await node.runtime.run_pod_sandbox(config, node.runtime_handler(pod))
    except RuntimeFault as fault:
        node.tell(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {fault}")
        worker.wake_in(node.agent.config.retry_interval)
        return None
    worker.known = await read_pod(node.runtime, worker.uid)
    return next((s for s in worker.known.sandboxes if s.id == made), None)


async def _start(worker: PodWorker, container: Any, sandbox: PodSandbox, config: PodSandboxConfig) -> bool:
    latest = worker.known.latest(container.name)
    try:
        _check_backoff(worker, container)
        container_id = await _create(worker, container, latest, sandbox, config)
        await _run(worker, container, container_id)
    except _Wait as wait:
        worker.waiting[container.name] = (wait.reason, wait.message)
        worker.wake_in(wait.retry_after)
        return False
    worker.waiting.pop(container.name, None)
    return True


def _check_backoff(worker: PodWorker, container: Any) -> None:
    # The one before counts for a container that was killed just now: a failing probe backs off as a crash does.
    history = worker.known.history(container.name)
    ended = next((status for status in history if status.state is ContainerState.EXITED), None)
    if ended is None:
        return
    node, pod = worker.node, worker.pod
    key, now = (worker.uid, container.name), node.clock.now()
    left = node.restart_backoff.remaining(key, ended.finished_at, now)
    if left <= 0:
        node.restart_backoff.next(key, ended.finished_at, now)
        return
    full = f"{pod.metadata.name}_{pod.metadata.namespace}({worker.uid})"
    if worker.waiting.get(container.name, ("",))[0] != "CrashLoopBackOff":
        said = f"Back-off restarting failed container {container.name} in pod {full}"
        node.tell(pod, "Warning", "BackOff", said, container.name)
    delay = _go_seconds(node.restart_backoff.delay(key))
    raise _Wait("CrashLoopBackOff", f"back-off {delay} restarting failed container={container.name} pod={full}", left)


def _go_seconds(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


async def _create(
    worker: PodWorker, container: Any, latest: ContainerStatus | None, sandbox: PodSandbox, config: PodSandboxConfig
) -> str:
    node, pod, retry = worker.node, worker.pod, worker.node.agent.config.retry_interval

    def tell(type: str, reason: str, message: str) -> None:
        node.tell(pod, type, reason, message, container.name)

    try:
        image = await node.puller.ensure(pod, container, config, tell)
    except ImageProblem as problem:
        if worker.waiting.get(container.name, ("",))[0] != problem.reason:
            tell("Warning", "Failed", f"Error: {problem.reason}")
        raise _Wait(problem.reason, problem.message, problem.retry_after or _SHOW_BACKOFF_AFTER) from None
    try:
        env = await node.container_env(pod, container, sandbox)
    except ConfigProblem as problem:
        tell("Warning", "Failed", f"Error: {problem}")
        raise _Wait("CreateContainerConfigError", str(problem), retry) from None
    try:
        wanted = container_config(pod, container, _attempt(worker, container, latest), image, env)
        container_id: str = await node.runtime.create_container(sandbox.id, wanted, config)
    except RuntimeFault as fault:
        tell("Warning", "Failed", f"Error: {fault.message}")
        raise _Wait("CreateContainerError", fault.message, retry) from None
    tell("Normal", "Created", "Container created")
    return container_id


def _attempt(worker: PodWorker, container: Any, latest: ContainerStatus | None) -> int:
    """How many instances there were; after the runtime lost them, what the API object remembers."""
    if latest is not None:
        return latest.attempt + 1
    status = worker.pod.status
    for old in [*(status.containerStatuses or ()), *(status.initContainerStatuses or ())]:
        if old.name == container.name and old.containerID:
            return int(old.restartCount) + 1
    return 0


async def _run(worker: PodWorker, container: Any, container_id: str) -> None:
    node, pod = worker.node, worker.pod
    try:
        await node.runtime.start_container(container_id)
    except RuntimeFault as fault:
        node.tell(pod, "Warning", "Failed", f"Error: {fault.message}", container.name)
        raise _Wait("RunContainerError", fault.message, _SHOW_BACKOFF_AFTER) from None
    node.tell(pod, "Normal", "Started", "Container started", container.name)
    lifecycle = getattr(container, "lifecycle", None)
    if lifecycle is None or lifecycle.postStart is None:
        return
    status = await node.runtime.container_status(container_id)
    result = await node.prober.hook("postStart", lifecycle.postStart, node.target(pod, container, status, worker.known))
    if not result.success:
        node.tell(pod, "Warning", "FailedPostStartHook", f"PostStartHook failed: {result.output}", container.name)
        await stop_container(worker, container, status, 2.0, "FailedPostStartHook")
        raise _Wait("PostStartHookError", f"PostStartHook failed: {result.output}", _SHOW_BACKOFF_AFTER)
