"""All probes of one pod: a loop per probe of each running container, and what their verdicts lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern.node.probe import ProbeResult
from kybern.node.probing import KINDS, ProbeLoop, probe_of
from kybern.node.runtime import ContainerState, ContainerStatus

if TYPE_CHECKING:
    from kybern.node.pod_worker import PodWorker

__all__ = ["PodProbes"]


class PodProbes:
    """Belongs to a worker, whose verdicts it settles."""

    __slots__ = ("_loops", "_worker")

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._loops: dict[tuple[str, str], ProbeLoop] = {}

    def follow(self) -> None:
        """Probe what runs now, and no longer what has ended."""
        worker = self._worker
        containers = [*(worker.pod.spec.initContainers or ()), *worker.pod.spec.containers]
        if not self._loops and not any(probe_of(c, kind) is not None for c in containers for kind in KINDS):
            return
        running = {c.id: c for c in worker.known.containers if c.state is ContainerState.RUNNING}
        for key in [k for k in self._loops if k[0] not in running]:
            self._loops.pop(key).stop()
            worker.verdicts.forget(key[0])
        by_name = {c.name: c for c in containers}
        for status in running.values():
            if status.name in by_name:
                self._begin(by_name[status.name], status)

    def stop(self, kinds: tuple[str, ...]) -> None:
        """No more probes of these kinds."""
        for key in [k for k in self._loops if k[1] in kinds]:
            self._loops.pop(key).stop()

    def _begin(self, container: Any, status: ContainerStatus) -> None:
        for kind in KINDS:
            if probe_of(container, kind) is not None and (status.id, kind) not in self._loops:
                self._loops[status.id, kind] = self._new_loop(kind, container, status)

    def _new_loop(self, kind: str, container: Any, status: ContainerStatus) -> ProbeLoop:
        worker, node = self._worker, self._worker.node

        def may_run() -> bool:
            return kind == "startup" or worker.verdicts.started(container, status)

        target = node.target(worker.pod, container, status, worker.known)
        loop = ProbeLoop(kind, target, node.prober, node.clock, node.spawn, may_run, self._heard)
        if kind == "startup" and worker.verdicts.startup.get(status.id):
            loop.stop()
        return loop

    def _heard(self, loop: ProbeLoop, result: ProbeResult, verdict: bool | None) -> None:
        """A probe has answered."""
        worker, status = self._worker, loop.target.status
        if not result.success:
            word = "errored" if result.errored else "failed"
            said = f"{loop.kind.capitalize()} probe {word}: {result.output}"
            worker.node.tell(worker.pod, "Warning", "Unhealthy", said, loop.target.container.name)
        results: dict[str, bool] = getattr(worker.verdicts, loop.kind)
        if verdict is None or results.get(status.id) is verdict:
            return
        results[status.id] = verdict
        if loop.kind == "readiness":
            worker.node.mark(worker)
        else:
            worker.kick()
