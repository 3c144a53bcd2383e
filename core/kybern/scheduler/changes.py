"""What an informer's (old, new) means for scheduling: which cluster events happened."""

from __future__ import annotations

from typing import Any

from kybern.scheduler.policy import Action
from kybern.scheduler.requests import pod_requests

__all__ = ["node_actions", "pod_actions", "schedules_alike"]


def node_actions(old: Any, new: Any) -> Action:
    """What changed about a Node that may matter to a waiting pod; a heartbeat is nothing."""
    found = Action(0)
    if old.status.allocatable != new.status.allocatable:
        found |= Action.UPDATE_NODE_ALLOCATABLE
    if old.metadata.labels != new.metadata.labels:
        found |= Action.UPDATE_NODE_LABEL
    if old.spec.taints != new.spec.taints or old.spec.unschedulable != new.spec.unschedulable:
        found |= Action.UPDATE_NODE_TAINT
    if _conditions(old) != _conditions(new):
        found |= Action.UPDATE_NODE_CONDITION
    if old.metadata.annotations != new.metadata.annotations:
        found |= Action.UPDATE_NODE_ANNOTATION
    return found


def _conditions(node: Any) -> dict[str, str]:
    return {c.type: c.status for c in node.status.conditions or ()}


def schedules_alike(old: Any, new: Any) -> bool:
    """Whether a pod takes the same of its node in both versions; most updates only touch the status.

    Of the spec only containers can change once a pod has a node (a resize)."""
    before, after = old.spec, new.spec
    return bool(
        old.metadata.labels == new.metadata.labels
        and old.metadata.deletionTimestamp == new.metadata.deletionTimestamp
        and before.containers == after.containers
        and before.initContainers == after.initContainers
        and before.resources == after.resources
        and _resized(old) == _resized(new)
    )


def _resized(pod: Any) -> list[Any]:
    """What the status says of resources; a status that says nothing of them is as good as none."""
    status = pod.status
    found: list[Any] = [status.resources, status.allocatedResources]
    for container in (*(status.containerStatuses or ()), *(status.initContainerStatuses or ())):
        if container.resources is not None or container.allocatedResources:
            found += (container.name, container.resources, container.allocatedResources)
    return found


def pod_actions(old: Any, new: Any) -> Action:
    """What changed about a pod that may make it, or another, schedulable."""
    found = Action(0)
    if old.metadata.labels != new.metadata.labels:
        found |= Action.UPDATE_POD_LABEL
    if (old.spec.tolerations or []) != (new.spec.tolerations or []):
        found |= Action.UPDATE_POD_TOLERATION
    if old.spec.schedulingGates and not new.spec.schedulingGates:
        found |= Action.UPDATE_POD_GATES_ELIMINATED
    if old.status.resourceClaimStatuses != new.status.resourceClaimStatuses:
        found |= Action.UPDATE_POD_GENERATED_CLAIM
    before, after = pod_requests(old), pod_requests(new)
    if before != after:
        names = {*before, *after}
        if any(after.get(n, 0) < before.get(n, 0) for n in names):
            found |= Action.UPDATE_POD_SCALE_DOWN
        if any(after.get(n, 0) > before.get(n, 0) for n in names):
            found |= Action.UPDATE_POD_SCALE_UP
    if old.spec.nodeSelector != new.spec.nodeSelector or old.spec.affinity != new.spec.affinity:
        found |= Action.UPDATE_OTHER
    return found
