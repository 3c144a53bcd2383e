"""An HTTP/1.1 client that costs little itself, so that it is the server that is measured.

`ask` is for single requests; `Pool` keeps connections busy, one request at a time on each.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

__all__ = ["Address", "Pool", "Timing", "ask", "ask_json", "request"]


class Address(NamedTuple):
    """A server, and the folder with the certificates to reach it."""

    host: str
    port: int
    pki: Path


@functools.lru_cache(4)
def context(pki: Path) -> ssl.SSLContext:
    """TLS as the cluster's administrator."""
    made = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    made.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return made


def ask(
    address: Address, method: str, path: str, body: Any = None, content_type: str = "application/json"
) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPSConnection(address.host, address.port, context=context(address.pki), timeout=120)
    try:
        data = None if body is None else msgspec.json.encode(body)
        connection.request(method, path, data, {"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask_json(address: Address, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
    """One request that must succeed; its answer decoded."""
    code, data = ask(address, method, path, body, content_type)
    if code >= 300:
        raise RuntimeError(f"{method} {path}: {code} {data[:500].decode(errors='replace')}")
    return msgspec.json.decode(data)


def request(method: str, path: str, body: Any = None, content_type: str = "application/json") -> bytes:
    """The bytes of a request on a kept connection."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    data = msgspec.json.encode(body)
    return f"{head}Content-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


class Timing(NamedTuple):
    """What a run of requests took."""

    rate: float
    """Requests per second."""
    p50: float
    p99: float
    """Milliseconds."""
    errors: int
    count: int


class Pool:
    """Connections that each send their next request when the answer to the last is in."""

    def __init__(self, address: Address, connections: int) -> None:
        self._address = address
        self._count = connections

    def fill(self, requests: Iterator[bytes]) -> None:
        """Send requests that prepare a measure: all must succeed."""
        timing = asyncio.run(self.run(requests))
        if timing.errors:
            raise RuntimeError(f"{timing.errors} of {timing.count} requests failed that prepare the measure")

    async def run(self, requests: Iterator[bytes], accept: Callable[[int], bool] = lambda code: code < 300) -> Timing:
        """Send all requests; answers with a code that `accept` refuses are counted as errors."""
        loop = asyncio.get_running_loop()
        workers = []
        for _ in range(self._count):
            _, worker = await loop.create_connection(
                lambda: _Worker(requests, accept),
                self._address.host,
                self._address.port,
                ssl=context(self._address.pki),
            )
            workers.append(worker)
        began = time.perf_counter()
        for worker in workers:
            worker.begin()
        await asyncio.gather(*(worker.done for worker in workers))
        took = time.perf_counter() - began
        latencies = sorted(latency for worker in workers for latency in worker.latencies)
        return Timing(
            len(latencies) / took,
            latencies[len(latencies) // 2] * 1000,
            latencies[int(len(latencies) * 0.99)] * 1000,
            sum(worker.errors for worker in workers),
            len(latencies),
        )


class _Worker(asyncio.Protocol):
    """One connection. Understands answers with Content-Length, and chunked ones by their end mark."""

    def __init__(self, requests: Iterator[bytes], accept: Callable[[int], bool]) -> None:
        self._requests = requests
        self._accept = accept
        self._buffer = bytearray()
        self._sent = 0.0
        self._transport: Any = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.errors = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def begin(self) -> None:
        """Send the next request, or finish."""
        following = next(self._requests, None)
        if following is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._complete():
            self.latencies.append(time.perf_counter() - self._sent)
            if not self._accept(int(self._buffer[9:12])):
                self.errors += 1
            self._buffer.clear()
            self.begin()

    def _complete(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at < 0:
            return self._buffer.endswith(b"0\r\n\r\n")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        return len(self._buffer) >= end + 4 + length

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))
