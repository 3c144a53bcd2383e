"""One probe or lifecycle hook, carried out: run a command, open a connection, ask over HTTP or gRPC.

`Prober` is what the agent asks; a runtime driver whose containers have no real network answers
itself. Thresholds and periods are the business of `probing.py`.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from typing import Any

import attrs

from kybern.clock import Clock
from kybern.node.runtime import ContainerStatus, Runtime, RuntimeFault

__all__ = ["NetworkProber", "ProbeResult", "Prober"]

_OUTPUT_LIMIT = 10 * 1024


@attrs.frozen
class ProbeResult:
    """`errored`: it could not be carried out at all."""

    success: bool
    output: str = ""
    errored: bool = False


@attrs.frozen
class Target:
    """The container that is asked."""

    pod: Any
    container: Any
    status: ContainerStatus
    pod_ip: str


class Prober(ABC):
    """Carries out probes and hooks of one node. Never raises; honours the time limit itself."""

    @abstractmethod
    async def probe(self, kind: str, probe: Any, target: Target) -> ProbeResult:
        """`kind`: startup, liveness or readiness; `probe`: a Probe Struct."""

    @abstractmethod
    async def hook(self, kind: str, handler: Any, target: Target) -> ProbeResult:
        """`kind`: postStart or preStop; `handler`: a LifecycleHandler Struct. Has no time limit of its own."""


class NetworkProber(Prober):
    """Runs commands through the runtime and connects to the pod's address from the node."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def probe(self, kind: str, probe: Any, target: Target) -> ProbeResult:
        timeout = float(probe.timeoutSeconds or 1)
        try:
            return await self._clock.wait_for(self._ask(probe, target, timeout), timeout)
        except TimeoutError:
            return ProbeResult(False, f"command timed out: context deadline exceeded after {timeout:g}s")
        except OSError as error:
            return ProbeResult(False, str(error))

    async def hook(self, kind: str, handler: Any, target: Target) -> ProbeResult:
        try:
            if handler.sleep is not None:
                await self._clock.sleep(float(handler.sleep.seconds))
                return ProbeResult(True)
            return await self._ask(handler, target, 0.0)
        except OSError as error:
            return ProbeResult(False, str(error))

    async def _ask(self, handler: Any, target: Target, timeout: float) -> ProbeResult:
        if handler.exec is not None:
            return await self._exec(handler.exec.command or [], target, timeout)
        if handler.httpGet is not None:
            return await self._http(handler.httpGet, target)
        if handler.tcpSocket is not None:
            return await self._tcp(handler.tcpSocket, target)
        if getattr(handler, "grpc", None) is not None:
            return await self._grpc(handler.grpc, target)
        return ProbeResult(False, "missing probe handler", errored=True)

    async def _exec(self, command: list[str], target: Target, timeout: float) -> ProbeResult:
        try:
            result = await self._runtime.exec_sync(target.status.id, command, timeout)
        except RuntimeFault as fault:
            return ProbeResult(False, str(fault), errored=fault.code != "DeadlineExceeded")
        output = (result.stdout + result.stderr)[:_OUTPUT_LIMIT].decode("utf-8", "replace")
        return ProbeResult(result.exit_code == 0, output)

    async def _tcp(self, action: Any, target: Target) -> ProbeResult:
        host, port = action.host or target.pod_ip, _port(action.port, target.container)
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            return ProbeResult(False, _refusal(host, port, error))
        writer.close()
        return ProbeResult(True)

    async def _http(self, action: Any, target: Target) -> ProbeResult:
        import aiohttp

        host, port = action.host or target.pod_ip, _port(action.port, target.container)
        scheme = (action.scheme or "HTTP").lower()
        path = action.path or "/"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path if path.startswith('/') else '/' + path}"
        headers = {
            "User-Agent": "kube-probe/1.37",
            "Accept": "*/*",
            **{h.name: h.value for h in action.httpHeaders or ()},
        }
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(url, ssl=False, allow_redirects=True) as response,
            ):
                body = (await response.content.read(_OUTPUT_LIMIT)).decode("utf-8", "replace")
                if 200 <= response.status < 400:
                    return ProbeResult(True, body)
                return ProbeResult(False, f"HTTP probe failed with statuscode: {response.status}")
        except aiohttp.ClientConnectorError as error:
            return ProbeResult(False, f'Get "{url}": {_refusal(host, port, error.os_error)}')
        except aiohttp.ClientError as error:
            return ProbeResult(False, f'Get "{url}": {error}')

    async def _grpc(self, action: Any, target: Target) -> ProbeResult:
        """The gRPC health check; its two messages are small enough to be read and written by hand."""
        try:
            import grpc  # type: ignore[import-untyped]  # has no annotations of its own
        except ImportError:
            return ProbeResult(False, "gRPC probes need the package grpcio on the node", errored=True)
        service = (action.service or "").encode()
        question = b"\n" + bytes([len(service)]) + service if service else b""
        async with grpc.aio.insecure_channel(f"{target.pod_ip}:{action.port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            try:
                answer = await check(question)
            except grpc.aio.AioRpcError as error:
                return ProbeResult(False, f"error: {error.code().name}: {error.details()}")
        serving = answer == b"\x08\x01"
        return ProbeResult(serving, "" if serving else f"service unhealthy (responded with {answer.hex()!r})")


def _refusal(host: str, port: int, error: OSError) -> str:
    """In the words of Go's network library."""
    why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
    return f"dial tcp {host}:{port}: connect: {why}"


def _port(port: Any, container: Any) -> int:
    """A number, or the container port of that name."""
    if isinstance(port, str) and not port.isdigit():
        for one in container.ports or ():
            if one.name == port:
                return int(one.containerPort)
        raise OSError(f"couldn't find port: {port}")
    return int(port)
