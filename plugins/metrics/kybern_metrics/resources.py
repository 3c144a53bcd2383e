"""metrics.k8s.io: what nodes and pods use now. Its two versions differ in their name only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kybern.api.computed import Computed, Described, ReadRequest
from kybern.api.errors import StatusError
from kybern.api.kind import Column, Kind
from kybern.api.time import format_time
from kybern.reconcile.selected import selected
from kybern_metrics.described import described

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.node.runtime import PodUsage

__all__ = ["resource_metrics"]

GROUP = "metrics.k8s.io"
VERSIONS = ("v1", "v1beta1")
WINDOW = "15s"
Plain = dict[str, Any]


class _Metrics(Computed):
    """What both kinds share: make all, then choose."""

    kind = ""
    plural = ""

    def __init__(self, start: Start, version: str) -> None:
        self._start = start
        self._version = version

    @property
    def described(self) -> Sequence[Described]:
        return described(self._version, self.kind)

    async def list(self, request: ReadRequest) -> Sequence[Plain]:
        found = [metrics async for metrics in self._all(request)]
        return sorted(found, key=lambda m: (m["metadata"].get("namespace", ""), m["metadata"]["name"]))

    async def get(self, request: ReadRequest) -> Plain:
        await self._start.client.get(self._measured(), request.name, request.namespace)
        async for metrics in self._all(request):
            if metrics["metadata"]["name"] == request.name:
                found: Plain = metrics
                return found
        name = f"{request.namespace}/{request.name}" if request.namespace else request.name
        raise StatusError.not_found(self.plural, GROUP, name)

    def _all(self, request: ReadRequest) -> Any:
        raise NotImplementedError

    def _measured(self) -> type[Any]:
        """What the metrics are of: asked for first, so that one that is not there is told apart from one that is not
        measured yet."""
        raise NotImplementedError

    def _metrics(self, metadata: Plain, at: float, **measured: Any) -> Plain:
        time = format_time(at)
        head = {"kind": self.kind, "apiVersion": f"{GROUP}/{self._version}"}
        return {
            **head,
            "metadata": {**metadata, "creationTimestamp": time},
            "timestamp": time,
            "window": WINDOW,
            **measured,
        }


def _wanted(request: ReadRequest, metadata: Plain) -> bool:
    fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    return request.labels.matches(metadata.get("labels")) and request.fields.matches(lambda name: fields.get(name, ""))


def _metadata(name: str, namespace: str, obj: Any) -> Plain:
    metadata: Plain = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if obj.metadata.labels:
        metadata["labels"] = dict(obj.metadata.labels)
    return metadata


def _usage(cpu: int, memory: int) -> dict[str, str]:
    """Thousandths of a core, and bytes shown in KiB as a kubelet's are."""
    return {
        "cpu": f"{cpu}m" if cpu % 1000 else str(cpu // 1000),
        "memory": f"{memory // 1024}Ki" if memory >= 1024 else str(memory),
    }


class NodeMetrics(_Metrics):
    """Of each node, the sum of its pods."""

    kind, plural = "NodeMetrics", "nodemetrics"

    def _measured(self) -> type[Any]:
        from kybern.api.core import Node

        return Node

    async def _all(self, request: ReadRequest) -> Any:
        nodes = self._start.informers.informer(self._measured())
        for usage in await self._start.usage():
            node = nodes.get(usage.node)
            if node is None:
                continue
            metadata = _metadata(usage.node, "", node)
            if _wanted(request, metadata):
                yield self._metrics(metadata, usage.at, usage=_usage(usage.cpu_milli, usage.memory_bytes))


class PodMetrics(_Metrics):
    """Of each running container."""

    kind, plural = "PodMetrics", "podmetrics"

    def _measured(self) -> type[Any]:
        from kybern.api.core import Pod

        return Pod

    async def _all(self, request: ReadRequest) -> Any:
        informer = self._start.informers.informer(self._measured())
        if request.name:
            one = informer.get(request.name, request.namespace)
            found = [one] if one is not None else []
        else:
            found = selected(informer, request.namespace, request.labels)
        pods = {pod.metadata.uid: pod for pod in found}
        for usage in await self._start.usage(found):
            for used in usage.pods:
                metadata = _metadata(used.name, used.namespace, pods[used.uid])
                if _wanted(request, metadata):
                    yield self._metrics(metadata, usage.at, containers=list(_containers(used)))


def _containers(used: PodUsage) -> Iterator[Plain]:
    for name, (cpu, memory) in used.containers.items():
        yield {"name": name, "usage": _usage(cpu, memory)}


def _node_row(metrics: Any, now: float) -> list[Any]:
    return [metrics["metadata"]["name"], metrics["usage"]["cpu"], metrics["usage"]["memory"], metrics["window"]]


def _pod_row(metrics: Any, now: float) -> list[Any]:
    from kybern.api import quantity

    used = [container["usage"] for container in metrics["containers"]]
    cpu, memory = sum(quantity.milli(u["cpu"]) for u in used), sum(quantity.value(u["memory"]) for u in used)
    return [metrics["metadata"]["name"], *_usage(cpu, memory).values(), metrics["window"]]


_COLUMNS = (Column("Name", format="name"), Column("cpu"), Column("memory"), Column("Window", format="duration"))


def resource_metrics(start: Start) -> Sequence[Kind]:
    """Both kinds in both versions."""
    from kybern.api.core import Node, Pod

    for kind in (Node, Pod):
        start.informers.informer(kind)
    return [
        Kind(GROUP, version, made.kind, plural, namespaced, verbs=("get", "list"), columns=_COLUMNS, row=row,
             computed=made(start, version))
        for version in VERSIONS
        for made, plural, namespaced, row in (
            (NodeMetrics, "nodes", False, _node_row), (PodMetrics, "pods", True, _pod_row)
        )
    ]  # fmt: skip
