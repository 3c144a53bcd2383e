"""What nodes and their pods use, as the metrics API asks for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from kybern.node.runtime import PodUsage, RuntimeFault

if TYPE_CHECKING:
    from kybern.node.hosted_node import HostedNode

__all__ = ["NodeUsage", "usage_of", "usage_of_pods"]


@attrs.frozen
class NodeUsage:
    """One node's use at a moment."""

    node: str
    at: float
    """Wall time, seconds since the epoch."""
    pods: Sequence[PodUsage]

    @property
    def cpu_milli(self) -> int:
        """Of all its pods together."""
        return sum(cpu for pod in self.pods for cpu, _ in pod.containers.values())

    @property
    def memory_bytes(self) -> int:
        """Of all its pods together."""
        return sum(memory for pod in self.pods for _, memory in pod.containers.values())


async def usage_of(nodes: Iterable[HostedNode]) -> list[NodeUsage]:
    """Ask every node that is up; one whose runtime does not answer is left out."""
    found = []
    for node in nodes:
        if node.alive and (usage := await _ask(node, None)) is not None:
            found.append(usage)
    return found


async def usage_of_pods(nodes: Mapping[str, HostedNode], pods: Iterable[Any]) -> list[NodeUsage]:
    """Ask the nodes of these pods, and for these pods only."""
    by_node: dict[str, set[str]] = {}
    for pod in pods:
        by_node.setdefault(pod.spec.nodeName or "", set()).add(pod.metadata.uid)
    found = []
    for name, uids in by_node.items():
        node = nodes.get(name)
        if node is not None and node.alive and (usage := await _ask(node, uids)) is not None:
            found.append(usage)
    return found


async def _ask(node: HostedNode, uids: Collection[str] | None) -> NodeUsage | None:
    try:
        used = await (node.runtime.pod_usage() if uids is None else node.runtime.pod_usage(uids))
    except RuntimeFault:
        return None
    return NodeUsage(node.name, node.clock.now(), [u for u in used if uids is None or u.uid in uids])
