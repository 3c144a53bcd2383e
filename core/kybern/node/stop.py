"""Stopping containers gracefully: preStop hook, then the runtime's stop within what is left of the grace period.

Main containers stop side by side; sidecars only after them, the last started first (KEP-753).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kybern.node.restart import is_sidecar
from kybern.node.runtime import ContainerState, ContainerStatus

if TYPE_CHECKING:
    from kybern.node.pod_worker import PodWorker

__all__ = ["stop_container", "stop_pod"]

_SHORTEST = 2.0
"""Every container gets so many seconds to end, however late it is."""


async def stop_pod(worker: PodWorker) -> None:
    """Stop every running container of a pod by the worker's deadline, or else within the spec's grace period."""
    clock, spec = worker.node.clock, worker.pod.spec
    by = worker.stop_by
    if by is None:
        by = clock.now() + float(
            30 if spec.terminationGracePeriodSeconds is None else spec.terminationGracePeriodSeconds
        )
    specs = {c.name: c for c in [*(spec.initContainers or ()), *spec.containers, *(spec.ephemeralContainers or ())]}
    order = {c.name: i for i, c in enumerate(c for c in spec.initContainers or () if is_sidecar(c))}
    running = [c for c in worker.known.containers if c.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)]
    first = [c for c in running if c.name not in order]
    if len(first) == 1:
        await _stop(worker, specs.get(first[0].name), first[0], by)
    else:
        await asyncio.gather(*(_stop(worker, specs.get(c.name), c, by) for c in first))
    for sidecar in sorted((c for c in running if c.name in order), key=lambda c: -order[c.name]):
        await _stop(worker, specs.get(sidecar.name), sidecar, by)


async def _stop(worker: PodWorker, container: Any, status: ContainerStatus, by: float) -> None:
    grace = by - worker.node.clock.now()
    await stop_container(worker, container, status, grace, f"Stopping container {status.name}")


async def stop_container(worker: PodWorker, container: Any, status: ContainerStatus, grace: float, why: str) -> None:
    """Stop one; `container` is its spec, None when the pod has none such any more."""
    node, pod = worker.node, worker.pod
    node.tell(pod, "Normal", "Killing", why, status.name)
    began = node.clock.now()
    lifecycle = getattr(container, "lifecycle", None)
    if lifecycle is not None and lifecycle.preStop is not None and grace > 0 and status.state is ContainerState.RUNNING:
        await _pre_stop(worker, container, status, grace)
        grace -= node.clock.now() - began
    await node.runtime.stop_container(status.id, max(grace, _SHORTEST))


async def _pre_stop(worker: PodWorker, container: Any, status: ContainerStatus, grace: float) -> None:
    node, pod = worker.node, worker.pod
    target = node.target(pod, container, status, worker.known)
    hook = node.prober.hook("preStop", container.lifecycle.preStop, target)
    try:
        result = await node.clock.wait_for(hook, grace)
    except TimeoutError:
        return
    if not result.success:
        node.tell(pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {result.output}", container.name)
