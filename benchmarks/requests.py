"""Single requests on 32 TLS connections: create, get, patch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.objects import config_map, pod
from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.wire import Pool, request

CONNECTIONS = 32
COUNT = 10_000
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


def measure() -> Iterator[Row]:
    with Server() as server:
        run = _runner(server)
        created = run(request("POST", MAPS, config_map(f"map-{i}")) for i in range(COUNT))
        kept = limit(created.rate, at_least=2500) and limit(created.p99, at_most=36)
        yield _row("create ConfigMap (1 kB), durable", "1,150/s, p99 72 ms", ">= 2,500/s, p99 <= 36 ms", created, kept)
        pods = run(request("POST", PODS, pod(f"pod-{i}", scheduler="nobody")) for i in range(COUNT // 2))
        yield _row("create Pod, same", "710/s", ">= 1,500/s", pods, limit(pods.rate, at_least=1500))
        read = run(request("GET", f"{MAPS}/map-{i * 7 % COUNT}") for i in range(2 * COUNT))
        yield _row("get", "1,650-2,000/s", ">= 4,000/s", read, limit(read.rate, at_least=4000))
        patched = run(_patches())
        yield _row("merge patch", "660-900/s", ">= 2,000/s", patched, limit(patched.rate, at_least=2000))


def _runner(server: Server) -> Callable[[Iterator[bytes]], Result]:
    pool = Pool(server.address, CONNECTIONS)

    def run(requests: Iterator[bytes]) -> Result:
        before = server.cpu()
        timing = asyncio.run(pool.run(requests))
        return Result(timing.rate, timing.p99, timing.errors, (server.cpu() - before) / timing.count)

    return run


class Result(NamedTuple):
    """A run of requests, and what each cost the server's processor."""

    rate: float
    p99: float
    errors: int
    cpu: float


def _patches() -> Iterator[bytes]:
    for i in range(COUNT):
        yield request("PATCH", f"{MAPS}/map-{i}", {"metadata": {"labels": {"turn": str(i)}}}, MERGE)


def _row(name: str, reference: str, budget: str, timing: Result, met: bool) -> Row:
    wrong = f", {timing.errors} errors" if timing.errors else ""
    figure = f"{timing.rate:,.0f}/s, p99 {timing.p99:.0f} ms{wrong}, {timing.cpu * 1e6:.0f} us CPU"
    return Row(name, reference, budget, figure, met and not timing.errors)
