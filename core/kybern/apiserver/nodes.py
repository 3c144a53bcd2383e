"""How the API server reaches what runs on nodes: container logs, exec, attach, port-forward.

The server only checks the request and finds the pod; the bytes come from whoever implements
`NodeStreams` (in one process, the node agents; joined to the server by `cluster`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs

from kybern.api.errors import StatusError

__all__ = ["ExecOptions", "LogOptions", "NoNodes", "NodeStreams", "Streams"]


@attrs.frozen
class LogOptions:
    """What part of a container's log is wanted (upstream: `PodLogOptions`)."""

    follow: bool = False
    previous: bool = False
    """The log of the container's last terminated instance."""
    since_seconds: int | None = None
    since_time: str = ""
    """RFC 3339; only lines at or after it."""
    timestamps: bool = False
    """Put each line's RFC 3339 nano time before it."""
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"
    """All, Stdout or Stderr."""


@attrs.frozen
class ExecOptions:
    """What to run or attach to, and with which streams (upstream: `PodExecOptions`, `PodAttachOptions`)."""

    command: Sequence[str] = ()
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class Streams(ABC):
    """The client's side of an exec, attach or port-forward: numbered byte channels (0 stdin, 1 stdout, 2 stderr,
    3 error, 4 resize; for port-forward 2n data and 2n+1 error of the n-th port)."""

    @abstractmethod
    async def receive(self) -> tuple[int, bytes] | None:
        """The next message of the client: (channel, data); None when it went away."""

    @abstractmethod
    async def send(self, channel: int, data: bytes) -> None:
        """Send to the client; returns when more may be sent."""

    @abstractmethod
    async def close(self) -> None:
        """End the session."""


class NodeStreams(ABC):
    """Streams from and to containers. Every method raises StatusError before its first byte when it cannot serve."""

    @abstractmethod
    async def logs(self, node: str, pod: Any, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The log of a container (always named here), in chunks as they come; with `follow` until the container ends.

        A coroutine that returns the iterator: what is wrong is raised before the answer starts. Upstream's
        refusal is a 400 BadRequest such as
        `container "c" in pod "p" is waiting to start: ContainerCreating` or
        `previous terminated container "c" in pod "p" not found`.
        """

    async def exec(self, node: str, pod: Any, container: str, options: ExecOptions, streams: Streams) -> None:
        """Run a command in a container until it ends; its exit status goes to channel 3 as a Status."""
        raise StatusError(501, "NotImplemented", "exec is not served by this cluster's nodes")

    async def attach(self, node: str, pod: Any, container: str, options: ExecOptions, streams: Streams) -> None:
        """Join a container's main process."""
        raise StatusError(501, "NotImplemented", "attach is not served by this cluster's nodes")

    async def port_forward(self, node: str, pod: Any, ports: Sequence[int], streams: Streams) -> None:
        """Carry bytes between the client and ports of the pod."""
        raise StatusError(501, "NotImplemented", "portforward is not served by this cluster's nodes")


class NoNodes(NodeStreams):
    """For an API server without nodes beside it."""

    async def logs(self, node: str, pod: Any, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        raise StatusError(503, "ServiceUnavailable", f"no node agent answers for node {node!r}")
