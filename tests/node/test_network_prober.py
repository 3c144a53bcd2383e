"""Probes as they are carried out on real runtimes: against servers of this test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from kybern.api.core import (
    ContainerPort,
    ExecAction,
    HTTPGetAction,
    HTTPHeader,
    LifecycleHandler,
    Probe,
    SleepAction,
    TCPSocketAction,
)
from kybern.clock import SystemClock
from kybern.node.probe import NetworkProber, ProbeResult, Target
from kybern.node.runtime import ContainerState, ContainerStatus, ExecResult, Runtime, RuntimeFault
from tests.node.world import container, pod

pytestmark = pytest.mark.anyio


class Commands(Runtime):
    """Knows `true`, `false`, `hang` and nothing else."""

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float = 0.0) -> ExecResult:
        if command[0] == "hang":
            await SystemClock().sleep(30)
        if command[0] not in ("true", "false"):
            raise RuntimeFault("Unknown", f"no such program {command[0]}")
        return ExecResult(int(command[0] == "false"), b"out", b"err")


Commands.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # a prober needs exec_sync only


@contextlib.asynccontextmanager
async def http_server(status: int) -> AsyncIterator[tuple[int, list[str]]]:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


def closed_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def ask(probe: Any, *ports: Any) -> ProbeResult:
    status = ContainerStatus("id", "s", "c", 0, ContainerState.RUNNING, 0.0)
    c = container("c", ports=list(ports))
    prober = NetworkProber(Commands(), SystemClock())  # type: ignore[abstract]  # see above
    return await prober.probe("readiness", probe, Target(pod("p", c), c, status, "127.0.0.1"))


@pytest.mark.parametrize(("code", "success"), [(200, True), (204, True), (302, True), (400, False), (503, False)])
async def test_http(code: int, success: bool) -> None:
    async with http_server(code) as (port, asked):
        action = HTTPGetAction(port="web", path="/healthz?deep=1", httpHeaders=[HTTPHeader(name="X-Custom", value="a")])
        result = await ask(Probe(httpGet=action), ContainerPort(name="web", containerPort=port))
        assert result.success is success
        if not success:
            assert result.output == f"HTTP probe failed with statuscode: {code}"
        assert asked[0].startswith("GET /healthz?deep=1 HTTP/1.1")
        assert "X-Custom: a" in asked[0]
        assert "kube-probe/" in asked[0]


async def test_nobody_listens() -> None:
    port = closed_port()
    for probe in (Probe(httpGet=HTTPGetAction(port=port)), Probe(tcpSocket=TCPSocketAction(port=port))):
        result = await ask(probe)
        assert not result.success
        assert result.output.endswith(f"dial tcp 127.0.0.1:{port}: connect: connection refused")


async def test_tcp() -> None:
    async with http_server(200) as (port, _):
        assert (await ask(Probe(tcpSocket=TCPSocketAction(port=port)))).success


async def test_a_port_of_unknown_name() -> None:
    result = await ask(Probe(tcpSocket=TCPSocketAction(port="nope")))
    assert (result.success, result.output) == (False, "couldn't find port: nope")


@pytest.mark.parametrize(
    ("command", "success", "errored"), [("true", True, False), ("false", False, False), ("x", False, True)]
)
async def test_commands(command: str, success: bool, errored: bool) -> None:
    result = await ask(Probe(exec=ExecAction(command=[command])))
    assert (result.success, result.errored) == (success, errored)
    if command != "x":
        assert result.output == "outerr"


async def test_a_probe_that_hangs_times_out() -> None:
    result = await ask(Probe(exec=ExecAction(command=["hang"]), timeoutSeconds=1))
    assert not result.success
    assert "deadline exceeded" in result.output


async def test_hooks() -> None:
    status = ContainerStatus("id", "s", "c", 0, ContainerState.RUNNING, 0.0)
    target = Target(pod(), container(), status, "127.0.0.1")
    prober = NetworkProber(Commands(), SystemClock())  # type: ignore[abstract]  # see above
    assert (await prober.hook("preStop", LifecycleHandler(sleep=SleepAction(seconds=0)), target)).success
    assert (await prober.hook("preStop", LifecycleHandler(exec=ExecAction(command=["true"])), target)).success
    assert not (await prober.hook("postStart", LifecycleHandler(exec=ExecAction(command=["x"])), target)).success
