"""One large list."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

from benchmarks.objects import pod, service_account
from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.wire import Address, Pool, ask_json, context, request

COUNT = 10_000
RUNS = 7


def measure() -> Iterator[Row]:
    path = "/api/v1/namespaces/default/pods"
    with Server(scheduler={"enabled": False}, controllers={"enabled": False}) as server:
        pods = (request("POST", path, pod(f"pod-{i}", scheduler="nobody")) for i in range(COUNT))
        ask_json(server.address, "POST", "/api/v1/namespaces/default/serviceaccounts", service_account("default"))
        Pool(server.address, 32).fill(pods)
        times, size = _lists(server.address, path)
    median = sorted(times)[RUNS // 2] * 1000
    name = f"list {COUNT:,} pods ({size / 1e6:.0f} MB)"
    yield Row(name, "300 ms (27 MB)", "<= 75 ms", f"{median:.0f} ms", limit(median, at_most=75))


def _lists(address: Address, path: str) -> tuple[list[float], int]:
    connection = http.client.HTTPSConnection(address.host, address.port, context=context(address.pki), timeout=60)
    times, size = [], 0
    buffer = memoryview(bytearray(1 << 20))
    for _ in range(RUNS):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        size = 0
        while count := answer.readinto(buffer):
            size += count
        times.append(time.perf_counter() - began)
    connection.close()
    return times, size
