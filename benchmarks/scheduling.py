"""Scheduling alone: 5,000 nodes and 3,000 pods are there before the scheduler starts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.objects import node, pod, service_account
from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.waiting import until
from benchmarks.wire import Address, Pool, ask_json, request

NODES = 5000
PODS = 3000
MERGE = "application/merge-patch+json"
UNBOUND = "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3D&limit=1"


def measure() -> Iterator[Row]:
    home = Path(tempfile.mkdtemp(prefix="kybern-bench-"))
    try:
        with Server(home, scheduler={"enabled": False}, controllers={"enabled": False}) as server:
            Pool(server.address, 32).fill(_nodes())
            Pool(server.address, 32).fill(_pods())
        with Server(home, controllers={"enabled": False}) as server:
            begun = until(lambda: _unbound(server.address) < PODS, 60, "the first binding", pause=0.02)
            left = _unbound(server.address)
            took = until(lambda: _unbound(server.address) == 0, 120, "all bindings", pause=0.05)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    rate = left / took
    figure = f"{rate:,.0f} pods/s (first after {begun:.1f} s)"
    name = f"scheduling alone, {NODES:,} nodes"
    yield Row(name, "upstream's floor 270 pods/s", ">= 1,000 pods/s", figure, limit(rate, at_least=1000))


def _nodes() -> Iterator[bytes]:
    yield request("POST", "/api/v1/namespaces/default/serviceaccounts", service_account("default"))
    for i in range(NODES):
        yield request("POST", "/api/v1/nodes", node(f"node-{i}", f"zone-{i % 3}"))


def _pods() -> Iterator[bytes]:
    # no controller is here to see that the nodes are ready and to take away the taint that every new node gets
    for i in range(NODES):
        yield request("PATCH", f"/api/v1/nodes/node-{i}", {"spec": {"taints": None}}, MERGE)
    for i in range(PODS):
        yield request("POST", "/api/v1/namespaces/default/pods", pod(f"pod-{i}"))


def _unbound(address: Address) -> int:
    page = ask_json(address, "GET", UNBOUND)
    if not page["items"]:
        return 0
    listed = ask_json(address, "GET", UNBOUND.removesuffix("&limit=1"))
    return len(listed["items"])
