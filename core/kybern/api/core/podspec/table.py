"""The cells that `kubectl get` shows for pods and for kinds with a pod template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api.kind import Column
from kybern.api.table import NONE, age
from kybern.api.time import human_duration, parse_time

__all__ = ["CONTAINERS", "IMAGES", "POD_COLUMNS", "containers_and_images", "pod_row"]

CONTAINERS = Column("Containers", priority=1, description="Names of each container in the template.")
IMAGES = Column("Images", priority=1, description="Images referenced by each container in the template.")

POD_COLUMNS = (
    Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", description="The aggregate status of the containers in this pod."),
    Column(
        "Restarts",
        description="The number of times the containers in this pod have been restarted and when "
        "the last container in this pod has restarted.",
    ),
    Column("Age", field="ObjectMeta.creationTimestamp"),
    Column("IP", priority=1, field="PodStatus.podIP"),
    Column("Node", priority=1, field="PodSpec.nodeName"),
    Column("Nominated Node", priority=1, field="PodStatus.nominatedNodeName"),
    Column("Readiness Gates", priority=1, field="PodSpec.readinessGates"),
)


def containers_and_images(spec: Any) -> list[str]:
    """The two cells with the names and the images of a pod spec's containers."""
    containers = spec.containers or () if spec is not None else ()
    return [",".join(c.name for c in containers), ",".join(c.image or "" for c in containers)]


class _Restarts:
    """How often containers restarted, and when one last did."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, status: Any) -> None:
        self.count += status.restartCount or 0
        terminated = status.lastState.terminated
        if terminated is not None and (terminated.finishedAt or "") > self.last:
            self.last = terminated.finishedAt

    def text(self, now: float) -> str:
        if self.count and self.last:
            return f"{self.count} ({human_duration(now - parse_time(self.last))} ago)"
        return str(self.count)


def pod_row(pod: Any, now: float) -> list[Any]:
    """The cells of one pod."""
    view = _PodView(pod)
    return [
        pod.metadata.name,
        f"{view.ready}/{view.total}",
        _deleted_reason(pod) or view.reason,
        view.restarts.text(now),
        age(pod.metadata.creationTimestamp, now),
        _pod_ip(pod.status),
        pod.spec.nodeName or NONE,
        pod.status.nominatedNodeName or NONE,
        _gates(pod),
    ]


class _PodView:
    """One pod's containers summed up, as a person reads them: how many are ready, what goes on, restarts."""

    def __init__(self, pod: Any) -> None:
        self.restarts = _Restarts()
        self.sidecars = {c.name for c in pod.spec.initContainers or () if c.restartPolicy == "Always"}
        self.total = len(pod.spec.containers or ()) + len(self.sidecars)
        self.ready = 0
        self.reason = _base_reason(pod)
        initializing = self._initialize(pod)
        if not initializing or _condition(pod, "Initialized"):
            self._run(pod)

    def _initialize(self, pod: Any) -> bool:
        """Walk the init containers to the first that is not done; whether there is one."""
        for i, status in enumerate(pod.status.initContainerStatuses or ()):
            self.restarts.add(status)
            terminated = status.state.terminated
            if terminated is not None and not terminated.exitCode:
                continue
            if status.name in self.sidecars and status.started:
                self.ready += bool(status.ready)
                continue
            self.reason = "Init:" + _init_reason(status, f"{i}/{len(pod.spec.initContainers or ())}")
            return True
        return False

    def _run(self, pod: Any) -> None:
        self.restarts = _Restarts()
        for status in pod.status.initContainerStatuses or ():
            if status.name in self.sidecars:
                self.restarts.add(status)
        running = False
        for status in reversed(pod.status.containerStatuses or ()):
            self.restarts.add(status)
            if reason := _stopped_reason(status.state):
                self.reason = reason
            elif status.ready and status.state.running is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if _condition(pod, "Ready") else "NotReady"


def _base_reason(pod: Any) -> str:
    conditions = pod.status.conditions or ()
    if any(c.type == "PodScheduled" and c.reason == "SchedulingGated" for c in conditions):
        return "SchedulingGated"
    return pod.status.reason or pod.status.phase or ""


def _init_reason(status: Any, progress: str) -> str:
    terminated, waiting = status.state.terminated, status.state.waiting
    if terminated is not None:
        return _terminated_reason(terminated)
    if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
        return str(waiting.reason)
    return progress


def _terminated_reason(terminated: Any) -> str:
    if terminated.reason:
        return str(terminated.reason)
    return f"Signal:{terminated.signal}" if terminated.signal else f"ExitCode:{terminated.exitCode or 0}"


def _stopped_reason(state: Any) -> str:
    if state.waiting is not None and state.waiting.reason:
        return str(state.waiting.reason)
    return _terminated_reason(state.terminated) if state.terminated is not None else ""


def _deleted_reason(pod: Any) -> str:
    if not pod.metadata.deletionTimestamp:
        return ""
    if pod.status.reason == "NodeLost":
        return "Unknown"
    return "" if pod.status.phase in ("Succeeded", "Failed") else "Terminating"


def _condition(pod: Any, type_: str) -> bool:
    return _is_true(pod.status.conditions or (), type_)


def _is_true(conditions: Iterable[Any], type_: str) -> bool:
    return any(c.type == type_ and c.status == "True" for c in conditions)


def _pod_ip(status: Any) -> str:
    addresses: Sequence[Any] = status.podIPs or ()
    return (addresses[0].ip if addresses else status.podIP) or NONE


def _gates(pod: Any) -> str:
    gates = pod.spec.readinessGates or ()
    met = sum(_is_true(pod.status.conditions or (), gate.conditionType) for gate in gates)
    return f"{met}/{len(gates)}" if gates else NONE
