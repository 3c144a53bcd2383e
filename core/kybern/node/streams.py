"""Container logs (and later exec, attach, port-forward) of the nodes of this process, for the API server.

Has the shape of `kybern.apiserver.nodes.NodeStreams` without importing it: nodes know nothing of
the server, and `cluster` joins the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.node.pod_runtime import read_pod
from kybern.node.pod_worker import PodWorker
from kybern.node.runtime import ContainerState, ContainerStatus, LogLine, RuntimeFault

if TYPE_CHECKING:
    from kybern.node.agent import NodeAgent

__all__ = ["Streams", "log_chunks"]


class Streams:
    """The streams of all nodes of an agent."""

    def __init__(self, agent: NodeAgent) -> None:
        self._agent = agent

    async def logs(self, node: str, pod: Any, container: str, options: Any) -> AsyncIterator[bytes]:
        """The log of a container in chunks; `options` is a `LogOptions`. Raises StatusError before the first chunk."""
        worker = self._worker(node, pod)
        status = await self._instance(worker, container, previous=options.previous)
        since = _since(options, self._agent.clock.now())
        try:
            skip = await self._to_skip(worker, status, options, since)
            lines = await worker.node.runtime.container_logs(status.id, follow=options.follow and not options.previous)
        except RuntimeFault as fault:
            raise StatusError(500, "InternalError", f"Internal error occurred: {fault}") from None
        return log_chunks(lines, options, since, skip)

    async def _to_skip(self, worker: PodWorker, status: ContainerStatus, options: Any, since: float) -> int:
        """How many of the wanted lines come before the last `tail_lines`."""
        if options.tail_lines is None:
            return 0
        lines = await worker.node.runtime.container_logs(status.id)
        count = 0
        async for line in lines:
            count += _wanted(line, options, since)
        return max(0, count - int(options.tail_lines))

    async def exec(self, node: str, pod: Any, container: str, options: Any, streams: Any) -> None:
        """Not served yet."""
        raise StatusError(501, "NotImplemented", "exec is not served by this node")

    async def attach(self, node: str, pod: Any, container: str, options: Any, streams: Any) -> None:
        """Not served yet."""
        raise StatusError(501, "NotImplemented", "attach is not served by this node")

    async def port_forward(self, node: str, pod: Any, ports: Any, streams: Any) -> None:
        """Not served yet."""
        raise StatusError(501, "NotImplemented", "port-forward is not served by this node")

    def _worker(self, node: str, pod: Any) -> PodWorker:
        hosted = self._agent.nodes.get(node)
        if hosted is None or not hosted.alive:
            address = f"{node}:10250"
            raise StatusError(500, "InternalError", f"Internal error occurred: node {address} does not answer")
        worker = hosted.workers.get(pod.metadata.uid)
        if worker is None:
            name = pod.metadata.name
            raise StatusError(404, "NotFound", f'pods "{name}" not found', {"name": name, "kind": "pods"})
        return worker

    async def _instance(self, worker: PodWorker, container: str, *, previous: bool) -> ContainerStatus:
        """The instance whose log is meant: the newest that has run, or the one before."""
        known = await read_pod(worker.node.runtime, worker.uid)
        ran = [c for c in known.history(container) if c.state is not ContainerState.CREATED]
        name = worker.pod.metadata.name
        if previous:
            ended = [c for c in ran if c.state is ContainerState.EXITED]
            waits = container in worker.waiting
            # While it waits for a restart its newest instance is already the previous one.
            older = ended if waits or (ran and ran[0].state is ContainerState.RUNNING) else ended[1:]
            if not older:
                raise StatusError.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
            return older[0]
        if not ran:
            usual = "PodInitializing" if worker.pod.spec.initContainers else "ContainerCreating"
            reason = worker.waiting.get(container, (usual, ""))[0]
            text = "trying and failing to pull image" if reason in ("ErrImagePull", "ImagePullBackOff") else ""
            why = f"is waiting to start: {text or reason}"
            raise StatusError.bad_request(f'container "{container}" in pod "{name}" {why}')
        return ran[0]


def _since(options: Any, now: float) -> float:
    if options.since_seconds is not None:
        return now - float(options.since_seconds)
    return parse_time(options.since_time) if options.since_time else 0.0


async def log_chunks(lines: AsyncIterator[LogLine], options: Any, since: float, skip: int = 0) -> AsyncIterator[bytes]:
    """Lines as the API sends them: stream, since, timestamps and byte limit applied, the first `skip` left out."""
    left = options.limit_bytes
    async for line in lines:
        if not _wanted(line, options, since):
            continue
        if skip:
            skip -= 1
            continue
        chunk = line.text + b"\n"
        if options.timestamps:
            chunk = _nano_time(line.time).encode() + b" " + chunk
        if left is not None:
            chunk, left = chunk[:left], left - len(chunk)
        if chunk:
            yield chunk
        if left is not None and left <= 0:
            return


def _wanted(line: LogLine, options: Any, since: float) -> bool:
    stream = (options.stream or "All").lower()
    return line.time >= since and stream in ("all", line.stream)


def _nano_time(seconds: float) -> str:
    whole = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{int((seconds % 1) * 1e9):09d}Z"
