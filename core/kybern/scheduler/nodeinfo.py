"""One node and what runs on it, kept up to date pod by pod."""

from __future__ import annotations

from typing import Any, NamedTuple

from kybern.scheduler.podinfo import PodInfo, Port
from kybern.scheduler.requests import Amounts, amounts

__all__ = ["NodeInfo", "Taint"]


class Taint(NamedTuple):
    """A taint without its time, so that equal taints are equal."""

    key: str
    value: str
    effect: str


class NodeInfo:
    """A node with the sums over its pods. Belongs to the snapshot; what-if questions work on a `clone`."""

    __slots__ = (
        "allocatable",
        "images",
        "labels",
        "name",
        "node",
        "nonzero_cpu",
        "nonzero_memory",
        "pods",
        "ports",
        "requested",
        "row",
        "taint_set",
        "taints",
        "unschedulable",
    )

    def __init__(self, node: Any, row: int) -> None:
        self.name: str = node.metadata.name
        self.row = row
        self.pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.nonzero_cpu = 0
        self.nonzero_memory = 0
        self.ports: dict[Port, int] = {}
        self.taint_set = 0
        self.set_node(node)

    def set_node(self, node: Any) -> None:
        """Take over a new version of the Node object."""
        self.node = node
        self.labels: dict[str, str] = node.metadata.labels or {}
        self.allocatable = amounts(node.status.allocatable)
        self.taints = tuple(Taint(t.key, t.value or "", t.effect) for t in node.spec.taints or ())
        self.unschedulable = bool(node.spec.unschedulable)
        self.images: dict[str, int] = {
            name: image.sizeBytes or 0 for image in node.status.images or () for name in image.names or ()
        }

    def add_pod(self, pod: PodInfo) -> None:
        """Count a pod in."""
        self.pods[pod.uid] = pod
        self._count(pod, 1)
        for port in pod.ports:
            self.ports[port] = self.ports.get(port, 0) + 1

    def remove_pod(self, pod: PodInfo) -> None:
        """Count a pod out; it must have been counted in with the same requests and ports."""
        del self.pods[pod.uid]
        self._count(pod, -1)
        for port in pod.ports:
            self.ports[port] -= 1
            if not self.ports[port]:
                del self.ports[port]

    def _count(self, pod: PodInfo, sign: int) -> None:
        requested = self.requested
        for name, amount in pod.requests.items():
            requested[name] = requested.get(name, 0) + sign * amount
        self.nonzero_cpu += sign * pod.nonzero_cpu
        self.nonzero_memory += sign * pod.nonzero_memory

    def clone(self) -> NodeInfo:
        """A copy whose pods may be added and removed without trace."""
        copy = NodeInfo.__new__(NodeInfo)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.pods = dict(self.pods)
        copy.requested = dict(self.requested)
        copy.ports = dict(self.ports)
        return copy

    def __repr__(self) -> str:
        return f"NodeInfo({self.name}, {len(self.pods)} pods)"
