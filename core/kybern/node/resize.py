"""Changing the resources of running containers in place (KEP-1287).

The spec says what is wanted, the runtime what is in force. A resize that does not fit waits as
`PodResizePending` (Deferred, or Infeasible on this node) and the old resources stay in the status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from kybern.node.admit import Refusal
from kybern.node.container_config import container_resources
from kybern.node.pod_runtime import PodRuntime
from kybern.node.restart import is_sidecar
from kybern.node.runtime import ContainerResources, ContainerState, ContainerStatus, RuntimeFault
from kybern.node.stop import stop_container

if TYPE_CHECKING:
    from kybern.node.pod_worker import PodWorker

__all__ = ["Resize", "resize_pod", "resizes"]


@attrs.frozen
class Resize:
    """A running container whose limits are to be changed."""

    container: Any
    status: ContainerStatus
    wanted: ContainerResources
    restart: bool
    """Its resize policy wants a restart rather than a change in place."""


def resizes(pod: Any, known: PodRuntime) -> list[Resize]:
    """What is to be changed."""
    found = []
    sidecars = [c for c in pod.spec.initContainers or () if is_sidecar(c)]
    for container in [*pod.spec.containers, *sidecars]:
        status = known.current(container.name)
        if status is None or status.state is not ContainerState.RUNNING or status.resources is None:
            continue
        wanted = container_resources(container.resources)
        if wanted != status.resources:
            found.append(Resize(container, status, wanted, _needs_restart(container, status.resources, wanted)))
    return found


def _needs_restart(container: Any, now: ContainerResources, wanted: ContainerResources) -> bool:
    changed = {
        "cpu": (now.cpu_quota, now.cpu_shares) != (wanted.cpu_quota, wanted.cpu_shares),
        "memory": now.memory_limit_in_bytes != wanted.memory_limit_in_bytes,
    }
    return any(
        changed.get(policy.resourceName) and policy.restartPolicy == "RestartContainer"
        for policy in container.resizePolicy or ()
    )


async def resize_pod(worker: PodWorker) -> None:
    """Bring the limits in force in line with the spec, if the node has what that takes."""
    wanted = resizes(worker.pod, worker.known)
    before, worker.resize = worker.resize, None
    if not wanted:
        return
    worker.resize = worker.node.admit_resize(worker)
    if worker.resize is not None:
        if before != worker.resize:
            worker.node.tell(worker.pod, "Warning", f"Resize{worker.resize.reason}", worker.resize.message)
        worker.wake_in(worker.node.agent.config.retry_interval)
        return
    for resize in wanted:
        await _carry_out(worker, resize)


async def _carry_out(worker: PodWorker, resize: Resize) -> None:
    node, status = worker.node, resize.status
    if resize.restart:
        grace = worker.pod.spec.terminationGracePeriodSeconds
        why = f"Container {status.name} resize requires restart"
        await stop_container(worker, resize.container, status, float(30 if grace is None else grace), why)
        return
    try:
        await node.runtime.update_container_resources(status.id, resize.wanted)
    except RuntimeFault as fault:
        worker.resize = Refusal("Error", str(fault))
        worker.wake_in(node.agent.config.retry_interval)
