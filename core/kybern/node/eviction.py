"""Relief for a node that runs out of memory: which pod to evict, and when the node is under pressure.

Pure. The signal is the kubelet's `memory.available`, its threshold and ranking upstream's defaults:
pods that use more than they asked for go first, the less important and the greedier ones before others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import quantity
from kybern.node.admit import pod_requests
from kybern.node.runtime import PodUsage

__all__ = ["MEMORY_THRESHOLD", "choose_victim", "eviction_message", "memory_available"]

MEMORY_THRESHOLD = 100 * 1024 * 1024
_CRITICAL = 2_000_000_000


def memory_available(capacity_bytes: int, usage: Sequence[PodUsage]) -> int:
    """Bytes left on the node."""
    return capacity_bytes - sum(memory for pod in usage for _, memory in pod.containers.values())


def choose_victim(pods: Sequence[Any], usage: Sequence[PodUsage]) -> Any | None:
    """The pod to evict next; None when only critical ones are left."""
    used = {u.uid: sum(memory for _, memory in u.containers.values()) for u in usage}
    candidates = [p for p in pods if p.metadata.uid in used and (p.spec.priority or 0) < _CRITICAL]
    if not candidates:
        return None

    def rank(pod: Any) -> tuple[bool, int, int]:
        over = used[pod.metadata.uid] - int(pod_requests(pod).get("memory", 0))
        return over <= 0, pod.spec.priority or 0, -over

    return min(candidates, key=rank)


def eviction_message(pod: Any, usage: Sequence[PodUsage], available: int) -> str:
    """In the kubelet's words."""
    free = quantity.format(available // 1024 * 1024, "BinarySI")
    parts = [
        "The node was low on resource: memory. "
        f"Threshold quantity: {quantity.format(MEMORY_THRESHOLD, 'BinarySI')}, available: {free}. "
    ]
    containers = next((u.containers for u in usage if u.uid == pod.metadata.uid), {})
    for container in pod.spec.containers:
        memory = containers.get(container.name, (0, 0))[1]
        requests = (container.resources.requests if container.resources is not None else None) or {}
        asked = requests.get("memory", "0")
        if memory > quantity.value(asked):
            shown = quantity.format(memory // 1024 * 1024, "BinarySI")
            parts.append(
                f"Container {container.name} was using {shown}, request is {asked}, has larger consumption of memory. "
            )
    return "".join(parts)
