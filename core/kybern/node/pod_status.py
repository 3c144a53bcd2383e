"""The status a node reports for a pod, computed from the pod, the runtime and the probe verdicts.

Pure: asked twice it says the same. Phases and reasons follow the documented pod lifecycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import attrs

from kybern.api.time import format_time
from kybern.node.admit import Refusal
from kybern.node.pod_runtime import PodRuntime
from kybern.node.restart import is_sidecar, restarts_after, should_start
from kybern.node.runtime import ContainerState, ContainerStatus
from kybern.node.verdicts import Verdicts

__all__ = ["View", "has_ended", "pod_phase", "pod_status"]

OWNED_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
)
DISRUPTIONS = ("Evicted", "Terminated")
"""Reasons of failure that the node, not the pod, is to blame for: condition DisruptionTarget."""


class _Structs:
    """The classes a status is made of, looked up once: every status write needs them."""

    def __init__(self) -> None:
        from kybern.api import core

        self.ContainerState = core.ContainerState
        self.ContainerStateRunning = core.ContainerStateRunning
        self.ContainerStateTerminated = core.ContainerStateTerminated
        self.ContainerStateWaiting = core.ContainerStateWaiting
        self.ContainerStatus = core.ContainerStatus
        self.HostIP = core.HostIP
        self.PodCondition = core.PodCondition
        self.PodIP = core.PodIP
        self.PodStatus = core.PodStatus


@cache
def _core() -> _Structs:
    return _Structs()


@attrs.define
class View:
    """What the node knows of a pod beside the runtime."""

    now: float
    verdicts: Verdicts
    runtime_name: str = "runtime"
    host_ips: Sequence[str] = ()
    waiting: Mapping[str, tuple[str, str]] = attrs.field(factory=dict)
    """Why a container does not run: reason and message of the last attempt, by container name."""
    terminal: bool = False
    """Every container has stopped for good."""
    failed: tuple[str, str] | None = None
    """Reason and message when the pod as a whole failed (evicted, deadline, refused)."""
    resize: Refusal | None = None
    """Why the resources the spec asks for are not in force; those that the status has are, then."""


def pod_status(pod: Any, known: PodRuntime, view: View) -> Any:
    """A PodStatus Struct."""
    core = _core()
    old = pod.status
    rejected = view.failed is not None and view.terminal and not known.sandboxes and not old.containerStatuses
    status = core.PodStatus(
        qosClass=old.qosClass, nominatedNodeName=old.nominatedNodeName, resourceClaimStatuses=old.resourceClaimStatuses,
        startTime=old.startTime or format_time(view.now), observedGeneration=pod.metadata.generation,
        extendedResourceClaimStatus=old.extendedResourceClaimStatus,
    )  # fmt: skip
    if not rejected:
        _fill_containers(status, pod, known, view)
    status.phase = _phase(pod, status, view)
    if view.failed is not None and view.terminal:
        status.reason, status.message = view.failed
    else:
        status.reason, status.message = old.reason, old.message
    _fill_addresses(status, pod, known, view)
    status.conditions = _conditions(pod, status, known, view)
    return status


def _fill_containers(status: Any, pod: Any, known: PodRuntime, view: View) -> None:
    spec, old = pod.spec, pod.status
    waiting = "PodInitializing" if spec.initContainers else "ContainerCreating"
    begun = _past_init(pod, known)
    status.containerStatuses = sorted(
        [
            _container(pod, c, known, view, _named(old.containerStatuses, c.name), waiting, begun=begun)
            for c in spec.containers
        ],
        key=_name,
    )
    if spec.initContainers:
        status.initContainerStatuses = [
            _init_container(pod, c, known, view, _named(old.initContainerStatuses, c.name)) for c in spec.initContainers
        ]
    if spec.ephemeralContainers:
        status.ephemeralContainerStatuses = [
            _container(
                pod, c, known, view, _named(old.ephemeralContainerStatuses, c.name), "ContainerCreating", judge=False
            )
            for c in spec.ephemeralContainers
        ]


def _past_init(pod: Any, known: PodRuntime) -> bool:
    """Whether it was the main containers' turn."""
    for container in pod.spec.initContainers or ():
        latest = known.latest(container.name)
        if latest is None or not (
            is_sidecar(container) or (latest.state is ContainerState.EXITED and not latest.exit_code)
        ):
            return False
    return True


def _name(status: Any) -> str:
    name: str = status.name
    return name


def _named(statuses: Any, name: str) -> Any:
    for status in statuses or ():
        if status.name == name:
            return status
    return None


def _container(
    pod: Any,
    container: Any,
    known: PodRuntime,
    view: View,
    old: Any,
    waiting: str,
    *,
    judge: bool = True,
    begun: bool = True,
) -> Any:
    """The ContainerStatus of one container of the spec. `judge`: probes and restarts apply to it;
    `begun`: its turn to start has come."""
    core = _core()
    history = known.history(container.name)
    if not history:
        return _unseen(container, view, old, waiting, begun=begun)
    latest = history[0]
    state = _state(latest, view, container.name, waiting)
    last = _terminated(history[1], view) if len(history) > 1 else _last_of(old)
    waits = judge and container.name in view.waiting and not view.terminal
    if waits and state.terminated is not None and should_start(pod, container, latest):
        last, state = state.terminated, _waiting_for(view, container.name, waiting)
    running = latest.state is ContainerState.RUNNING
    return core.ContainerStatus(
        name=container.name, state=state, lastState=core.ContainerState(terminated=last), restartCount=latest.attempt,
        image=latest.image or container.image or "", imageID=latest.image_ref, containerID=f"{view.runtime_name}://{latest.id}",
        ready=judge and view.verdicts.ready(container, latest),
        started=(running and view.verdicts.started(container, latest)) if judge else None,
        **_resources(container, old, view, running),
    )  # fmt: skip


def _resources(container: Any, old: Any, view: View, running: bool) -> dict[str, Any]:
    spec = getattr(container, "resources", None)
    if view.resize is not None and old is not None:
        return {"allocatedResources": old.allocatedResources, "resources": old.resources}
    if spec is None or not (spec.requests or spec.limits):
        return {}
    return {"allocatedResources": spec.requests, "resources": spec if running else None}


def _init_container(pod: Any, container: Any, known: PodRuntime, view: View, old: Any) -> Any:
    status = _container(pod, container, known, view, old, "PodInitializing", begun=False)
    if not is_sidecar(container):
        ended = status.state.terminated
        status.ready = ended is not None and not ended.exitCode
        if ended is not None:
            status.started = False
    return status


def _unseen(container: Any, view: View, old: Any, waiting: str, *, begun: bool) -> Any:
    """The status of a container the runtime does not know: not made yet, or lost."""
    core = _core()
    status = core.ContainerStatus(
        name=container.name, image=container.image or "", imageID="", ready=False, restartCount=0, started=False,
        state=_waiting_for(view, container.name, waiting), lastState=core.ContainerState(),
    )  # fmt: skip
    if old is not None:
        status.restartCount, status.lastState = old.restartCount, old.lastState or core.ContainerState()
    before = old.state if old is not None and old.state is not None else core.ContainerState()
    if view.terminal:
        if before.terminated is not None:
            return old
        # A container whose turn never came stays waiting.
        if before.running is not None or begun:
            status.state = _lost("The container could not be located when the pod was terminated", old)
        return status
    if before.running is not None:
        what = "The container could not be located when the pod was deleted.  The container used to be Running"
        status.lastState, status.restartCount = _lost(what, old), old.restartCount + 1
    return status


def _lost(message: str, old: Any) -> Any:
    core = _core()
    return core.ContainerState(
        terminated=core.ContainerStateTerminated(
            exitCode=137, reason="ContainerStatusUnknown", message=message, containerID=old.containerID if old else None
        )
    )


def _waiting_for(view: View, name: str, otherwise: str) -> Any:
    core = _core()
    reason, message = view.waiting.get(name, (otherwise, ""))
    return core.ContainerState(waiting=core.ContainerStateWaiting(reason=reason, message=message or None))


def _state(latest: ContainerStatus, view: View, name: str, waiting: str) -> Any:
    core = _core()
    if latest.state is ContainerState.RUNNING:
        return core.ContainerState(running=core.ContainerStateRunning(startedAt=format_time(latest.started_at)))
    if latest.state is ContainerState.EXITED:
        return core.ContainerState(terminated=_terminated(latest, view))
    if view.terminal:
        return _lost("The container could not be located when the pod was terminated", None)
    return _waiting_for(view, name, waiting)


def _terminated(ended: ContainerStatus, view: View) -> Any:
    reason = ended.reason or ("Completed" if ended.exit_code == 0 else "Error")
    return _core().ContainerStateTerminated(
        exitCode=ended.exit_code, reason=reason, message=ended.message or None,
        startedAt=format_time(ended.started_at or ended.created_at), finishedAt=format_time(ended.finished_at),
        containerID=f"{view.runtime_name}://{ended.id}",
    )  # fmt: skip


def _last_of(old: Any) -> Any:
    return old.lastState.terminated if old is not None and old.lastState is not None else None


def _phase(pod: Any, status: Any, view: View) -> str:
    if pod.status.phase in ("Failed", "Succeeded"):
        phase: str = pod.status.phase
        return phase
    # A pod becomes Failed only when nothing of it runs any more, so that nobody replaces it too early.
    return "Failed" if view.failed is not None and view.terminal else pod_phase(pod, status, view.terminal)


def pod_phase(pod: Any, status: Any, terminal: bool) -> str:
    """The phase that container statuses amount to."""
    if _initialization_failed(pod, status):
        return "Failed"
    by_name = {s.name: s for s in status.containerStatuses or ()}
    begun = any(s.state.running or s.state.terminated or s.lastState.terminated for s in by_name.values())
    if not begun and not terminal and not initialized(pod, status):
        return "Pending"
    succeeded = running = waiting = failed = coming_back = 0
    for container in pod.spec.containers:
        state = by_name[container.name].state if container.name in by_name else None
        if state is None or (state.running is None and state.terminated is None):
            restarted = state is not None and by_name[container.name].lastState.terminated is not None
            running += restarted
            waiting += not restarted
        elif state.running is not None:
            running += 1
        else:
            succeeded += state.terminated.exitCode == 0
            failed += state.terminated.exitCode != 0
            coming_back += not terminal and restarts_after(pod, container, state.terminated.exitCode)
    if terminal:
        return "Failed" if failed or waiting or running else "Succeeded"
    if waiting:
        return "Pending"
    if running or coming_back:
        return "Running"
    return "Failed" if failed else "Succeeded"


def has_ended(pod: Any, known: PodRuntime) -> bool:
    """Whether the containers have come to an end that makes the pod Succeeded or Failed."""
    for container in pod.spec.containers:
        latest = known.latest(container.name)
        if latest is None or latest.state is not ContainerState.EXITED:
            return _init_has_failed(pod, known)
        if restarts_after(pod, container, latest.exit_code):
            return _init_has_failed(pod, known)
    return True


def _init_has_failed(pod: Any, known: PodRuntime) -> bool:
    for container in pod.spec.initContainers or ():
        latest = known.latest(container.name)
        if is_sidecar(container) or latest is None or latest.state is not ContainerState.EXITED:
            continue
        if latest.exit_code and not restarts_after(pod, container, latest.exit_code):
            return True
    return False


def _initialization_failed(pod: Any, status: Any) -> bool:
    for container in pod.spec.initContainers or ():
        one = _named(status.initContainerStatuses, container.name)
        ended = one.state.terminated if one is not None else None
        if ended is None or not ended.exitCode or is_sidecar(container):
            continue
        if not restarts_after(pod, container, ended.exitCode):
            return True
    return False


def initialized(pod: Any, status: Any) -> bool:
    """Whether all init containers are through and the sidecars have started."""
    return not _uninitialized(pod, status)


def _uninitialized(pod: Any, status: Any) -> list[str]:
    missing = []
    for container in pod.spec.initContainers or ():
        one = _named(status.initContainerStatuses, container.name)
        done = one is not None and (bool(one.started) if is_sidecar(container) else one.ready)
        if not done:
            missing.append(container.name)
    return missing


def _fill_addresses(status: Any, pod: Any, known: PodRuntime, view: View) -> None:
    core, old = _core(), pod.status
    if view.host_ips:
        status.hostIP = view.host_ips[0]
        status.hostIPs = [core.HostIP(ip=ip) for ip in view.host_ips]
    if pod.spec.hostNetwork:
        ips: Sequence[str] = view.host_ips if known.sandbox is not None else ()
    else:
        ips = known.sandbox.ips if known.sandbox is not None else ()
    if ips:
        status.podIP, status.podIPs = ips[0], [core.PodIP(ip=ip) for ip in ips]
    elif status.phase in ("Succeeded", "Failed") or pod.metadata.deletionTimestamp:
        status.podIP, status.podIPs = old.podIP, old.podIPs


def _conditions(pod: Any, status: Any, known: PodRuntime, view: View) -> list[Any]:
    """The node's own conditions, computed, and everybody else's as they are."""
    old = {c.type: c for c in pod.status.conditions or ()}
    stamp = format_time(view.now)
    ready_sandbox = known.ready_sandbox is not None and (pod.spec.hostNetwork or bool(known.ready_sandbox.ips))
    computed = {
        "PodReadyToStartContainers": ("True" if ready_sandbox else "False", None, None),
        "Initialized": _initialized_condition(pod, status),
        "Ready": ("", None, None),
        "ContainersReady": _containers_ready(pod, status),
    }
    computed["Ready"] = _ready(pod, computed["ContainersReady"], old)
    found = [_condition(old.get(t), t, computed[t], stamp, pod.metadata.generation) for t in computed]
    scheduled = ("True", None, None)
    found.append(_condition(old.get("PodScheduled"), "PodScheduled", scheduled, stamp, pod.metadata.generation))
    if view.resize is not None:
        type_ = "PodResizeInProgress" if view.resize.reason == "Error" else "PodResizePending"
        verdict = ("True", view.resize.reason, view.resize.message)
        found.append(_condition(old.get(type_), type_, verdict, stamp, pod.metadata.generation))
    if view.failed is not None and view.failed[0] in DISRUPTIONS:
        disrupted = ("True", "TerminationByKubelet", view.failed[1])
        found.append(
            _condition(old.pop("DisruptionTarget", None), "DisruptionTarget", disrupted, stamp, pod.metadata.generation)
        )
    found += [c for t, c in old.items() if t not in OWNED_CONDITIONS]
    return found


Verdict = tuple[str, str | None, str | None]


def _condition(old: Any, type_: str, verdict: Verdict, stamp: str, generation: int | None) -> Any:
    value, reason, message = verdict
    since = old.lastTransitionTime if old is not None and old.status == value else stamp
    return _core().PodCondition(
        type=type_, status=value, reason=reason, message=message, lastTransitionTime=since or stamp,
        observedGeneration=generation,
    )  # fmt: skip


def _initialized_condition(pod: Any, status: Any) -> Verdict:
    missing = _uninitialized(pod, status)
    if status.phase == "Succeeded":
        return "True", "PodCompleted", None
    if not missing:
        return "True", None, None
    return "False", "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(missing)}]"


def _containers_ready(pod: Any, status: Any) -> Verdict:
    if status.phase == "Succeeded":
        return "False", "PodCompleted", None
    if status.phase == "Failed":
        return "False", "PodFailed", None
    sidecars = {c.name for c in pod.spec.initContainers or () if is_sidecar(c)}
    unready = [s.name for s in status.initContainerStatuses or () if s.name in sidecars and not s.ready]
    by_name = {s.name: s for s in status.containerStatuses or ()}
    unknown = [c.name for c in pod.spec.containers if c.name not in by_name]
    unready += [c.name for c in pod.spec.containers if c.name in by_name and not by_name[c.name].ready]
    said = []
    if unknown:
        said.append(f"containers with unknown status: [{' '.join(unknown)}]")
    if unready:
        said.append(f"containers with unready status: [{' '.join(unready)}]")
    return ("False", "ContainersNotReady", ", ".join(said)) if said else ("True", None, None)


def _ready(pod: Any, containers: Verdict, conditions: Mapping[str, Any]) -> Verdict:
    if containers[0] != "True":
        return containers
    said = []
    for gate in pod.spec.readinessGates or ():
        condition = conditions.get(gate.conditionType)
        if condition is None:
            said.append(f'corresponding condition of pod readiness gate "{gate.conditionType}" does not exist.')
        elif condition.status != "True":
            said.append(
                f'the status of pod readiness gate "{gate.conditionType}" is not "True", but {condition.status}'
            )
    return ("False", "ReadinessGatesNotReady", ", ".join(said)) if said else ("True", None, None)
