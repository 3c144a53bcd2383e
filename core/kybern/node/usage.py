"""What nodes and their pods use, as the metrics API asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from kybern.node.runtime import PodUsage, RuntimeFault

if TYPE_CHECKING:
    from kybern.node.hosted_node import HostedNode

__all__ = ["NodeUsage", "usage_of"]


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
        if not node.alive:
            continue
        try:
            found.append(NodeUsage(node.name, node.clock.now(), await node.runtime.pod_usage()))
        except RuntimeFault:
            continue
    return found
