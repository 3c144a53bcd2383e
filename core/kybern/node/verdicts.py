"""What the probes said about a pod's containers, by container id."""

from __future__ import annotations

from typing import Any

from kybern.node.runtime import ContainerState, ContainerStatus

__all__ = ["Verdicts"]


class Verdicts:
    """The settled results (after thresholds) of startup, liveness and readiness probes.

    A container without an entry has not been judged: it is taken for alive, not started and not ready.
    """

    __slots__ = ("liveness", "readiness", "startup")

    def __init__(self) -> None:
        self.startup: dict[str, bool] = {}
        self.liveness: dict[str, bool] = {}
        self.readiness: dict[str, bool] = {}

    def started(self, container: Any, status: ContainerStatus) -> bool:
        """Whether a running container has started up."""
        if status.state is not ContainerState.RUNNING:
            return False
        return container.startupProbe is None or self.startup.get(status.id, False)

    def ready(self, container: Any, status: ContainerStatus) -> bool:
        """Whether a container may get traffic."""
        if not self.started(container, status):
            return False
        return container.readinessProbe is None or self.readiness.get(status.id, False)

    def failed(self, container: Any, status: ContainerStatus) -> str:
        """The probe a running container must be killed for: `liveness`, `startup` or ""."""
        if container.livenessProbe is not None and self.liveness.get(status.id) is False:
            return "liveness"
        if container.startupProbe is not None and self.startup.get(status.id) is False:
            return "startup"
        return ""

    def forget(self, container_id: str) -> None:
        """The container is gone."""
        for results in (self.startup, self.liveness, self.readiness):
            results.pop(container_id, None)

    def adopt(self, pod: Any) -> None:
        """Start from what the pod's status says, so that a restarted agent does not make ready pods unready."""
        status = pod.status
        for one in [*(status.initContainerStatuses or ()), *(status.containerStatuses or ())]:
            container_id = (one.containerID or "").partition("://")[2]
            if not container_id or one.state is None or one.state.running is None:
                continue
            if one.started:
                self.startup.setdefault(container_id, True)
            if one.ready:
                self.readiness.setdefault(container_id, True)
