"""Pods that wait for room on a particular node: preemption made (or is making) it for them.

Until such a pod is bound, other pods of no higher priority must leave that room alone.
"""

from __future__ import annotations

from kybern.scheduler.podinfo import PodInfo

__all__ = ["Nominator"]


class Nominator:
    """Which unbound pod is nominated to which node."""

    def __init__(self) -> None:
        self._node_of: dict[str, str] = {}
        self._on_node: dict[str, dict[str, PodInfo]] = {}

    def nominate(self, pod: PodInfo, node: str) -> None:
        """The pod is to get this node ("" : none any more)."""
        self.remove(pod.uid)
        if node:
            self._node_of[pod.uid] = node
            self._on_node.setdefault(node, {})[pod.uid] = pod

    def update(self, pod: PodInfo) -> None:
        """A new version of a pod: what its status says of a nomination holds; without one, what is known stays."""
        said = pod.pod.status.nominatedNodeName
        self.nominate(pod, said or self._node_of.get(pod.uid, ""))

    def remove(self, uid: str) -> None:
        """The pod is bound or gone."""
        node = self._node_of.pop(uid, None)
        if node is None:
            return
        del self._on_node[node][uid]
        if not self._on_node[node]:
            del self._on_node[node]

    def node_of(self, uid: str) -> str:
        """The node that a pod is nominated to, or ""."""
        return self._node_of.get(uid, "")

    def pods_on(self, node: str) -> list[PodInfo]:
        """The pods nominated to a node."""
        return list(self._on_node.get(node, {}).values()) if self._on_node else []

    def nodes(self) -> list[str]:
        """Nodes that have a nominated pod."""
        return list(self._on_node)
