"""What to do next for a pod: `decide(pod, what the runtime knows, probe verdicts) -> Actions`.

Pure: the pod worker carries the actions out and decides again. A restarted agent comes to the
same actions because nothing but the pod, the runtime and the probes is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kybern.node.pod_runtime import PodRuntime
from kybern.node.restart import is_sidecar, restarts_after, should_start
from kybern.node.runtime import ContainerState, ContainerStatus
from kybern.node.verdicts import Verdicts

__all__ = ["Actions", "Kill", "decide"]


@attrs.frozen
class Kill:
    """A container to stop before anything starts."""

    container: Any
    status: ContainerStatus
    why: str
    """For the event."""
    probe: str = ""
    """`liveness` or `startup` when a probe is the reason: its own grace period applies."""


@attrs.define
class Actions:
    """In this order: stop the pod or single containers, make a sandbox, start containers."""

    stop_pod: bool = False
    """Stop everything of the pod, its sandbox too."""
    create_sandbox: bool = False
    attempt: int = 0
    """Number of the sandbox to create."""
    kill: list[Kill] = attrs.field(factory=list)
    start_ephemeral: list[Any] = attrs.field(factory=list)
    start_init: list[Any] = attrs.field(factory=list)
    start: list[Any] = attrs.field(factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.stop_pod or self.create_sandbox or self.kill or self.start_ephemeral or self.start_init or self.start
        )


def decide(pod: Any, known: PodRuntime, verdicts: Verdicts) -> Actions:
    """The next actions for a pod that shall run."""
    actions = Actions()
    if known.ready_sandbox is None or len([s for s in known.sandboxes if s.state == "SANDBOX_READY"]) > 1:
        _decide_sandbox(pod, known, actions)
        return actions
    actions.start_ephemeral = [c for c in pod.spec.ephemeralContainers or () if known.latest(c.name) is None]
    if not _decide_init(pod, known, verdicts, actions):
        return actions
    kept = 0
    for container in pod.spec.containers:
        kept += _decide_container(pod, container, known, verdicts, actions)
    if not kept and not actions.start and not actions.kill:
        actions = Actions(stop_pod=True)
    return actions


def _decide_sandbox(pod: Any, known: PodRuntime, actions: Actions) -> None:
    """There is no sandbox to run in: make one, unless nothing would run in it."""
    newest = known.sandbox
    actions.stop_pod = newest is not None and (known.running or newest.state == "SANDBOX_READY")
    to_start = [c for c in pod.spec.containers if _wanted_anew(pod, c, known)]
    if not to_start:
        return
    actions.create_sandbox = True
    actions.attempt = newest.attempt + 1 if newest is not None else 0
    init = pod.spec.initContainers
    if init:
        actions.start_init = [init[0]]
    else:
        actions.start = to_start


def _wanted_anew(pod: Any, container: Any, known: PodRuntime) -> bool:
    """Whether a container runs in a new sandbox: what ran in the old one counts by its exit code."""
    latest = known.latest(container.name)
    if latest is None or latest.state is ContainerState.CREATED:
        return True
    if latest.state is ContainerState.EXITED:
        return restarts_after(pod, container, latest.exit_code)
    return restarts_after(pod, container, 137)


def _decide_init(pod: Any, known: PodRuntime, verdicts: Verdicts, actions: Actions) -> bool:
    """Go through the init containers in order; True when the main containers may run."""
    initialized = any(known.current(c.name) is not None for c in pod.spec.containers)
    for container in pod.spec.initContainers or ():
        status = known.current(container.name)
        if is_sidecar(container):
            done = _decide_sidecar(container, status, verdicts, actions)
        elif initialized:
            done = True
        else:
            done = _decide_init_container(pod, container, status, actions)
        if not done and not initialized:
            return False
    return True


def _decide_sidecar(container: Any, status: ContainerStatus | None, verdicts: Verdicts, actions: Actions) -> bool:
    if status is None or status.state is not ContainerState.RUNNING:
        if status is not None and status.state is ContainerState.UNKNOWN:
            actions.kill.append(Kill(container, status, _UNKNOWN))
        actions.start_init.append(container)
        return False
    if probe := verdicts.failed(container, status):
        actions.kill.append(Kill(container, status, _probe_failed(container, probe, restart=True), probe))
        actions.start_init.append(container)
        return False
    return verdicts.started(container, status)


def _decide_init_container(pod: Any, container: Any, status: ContainerStatus | None, actions: Actions) -> bool:
    if status is None or status.state is ContainerState.CREATED:
        actions.start_init.append(container)
        return False
    if status.state is ContainerState.RUNNING:
        return False
    if status.state is ContainerState.UNKNOWN:
        actions.kill.append(Kill(container, status, _UNKNOWN))
    elif status.exit_code == 0:
        return True
    if status.state is ContainerState.UNKNOWN or restarts_after(pod, container, status.exit_code):
        actions.start_init.append(container)
    else:
        actions.stop_pod = True
    return False


_UNKNOWN = "Container is in unknown state, try killing it before starting again"


def _decide_container(pod: Any, container: Any, known: PodRuntime, verdicts: Verdicts, actions: Actions) -> int:
    """1 when the container runs and is left alone."""
    status = known.current(container.name)
    if status is None or status.state is not ContainerState.RUNNING:
        if should_start(pod, container, known.latest(container.name)):
            if status is not None and status.state is ContainerState.UNKNOWN:
                actions.kill.append(Kill(container, status, _UNKNOWN))
            actions.start.append(container)
        return 0
    restart = restarts_after(pod, container, 137)
    probe = verdicts.failed(container, status)
    if probe:
        why = _probe_failed(container, probe, restart=restart)
    elif _image_changed(container, status):
        restart = True
        why = f"Container {container.name} definition changed, will be restarted"
    else:
        return 1
    actions.kill.append(Kill(container, status, why, probe))
    if restart:
        actions.start.append(container)
    return 0


def _image_changed(container: Any, status: ContainerStatus) -> bool:
    asked = status.annotations.get("kybern.dev/image")
    return asked is not None and asked != container.image


def _probe_failed(container: Any, probe: str, *, restart: bool) -> str:
    why = f"Container {container.name} failed {probe} probe"
    return why + ", will be restarted" if restart else why


def names(containers: Sequence[Any]) -> list[str]:
    """Their names; for logs and tests."""
    return [c.name for c in containers]
