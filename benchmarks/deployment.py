"""A Deployment of 5,000 pods on 100 fake nodes, until all of them run."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.objects import deployment
from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.waiting import nodes_ready, until
from benchmarks.wire import ask_json

PODS = 5000
PATH = "/apis/apps/v1/namespaces/default/deployments"


def measure() -> Iterator[Row]:
    with Server(nodes={"count": 100}) as server:
        until(lambda: nodes_ready(server.address) >= 100, 60, "100 nodes to be ready")
        began = time.perf_counter()
        ask_json(server.address, "POST", PATH, deployment("web", PODS))
        until(
            lambda: ask_json(server.address, "GET", f"{PATH}/web")["status"].get("readyReplicas", 0) >= PODS,
            180,
            f"{PODS} pods to run",
        )
        rate, peak = PODS / (time.perf_counter() - began), server.peak_memory()
    met = limit(rate, at_least=400) and limit(peak, at_most=400)
    name = f"Deployment of {PODS:,} pods on 100 nodes"
    figure = f"{rate:,.0f} pods/s until Running, {peak:.0f} MB"
    yield Row(name, "190 pods/s until bound, 1.2 GB", ">= 400 pods/s until Running, <= 400 MB", figure, met)
