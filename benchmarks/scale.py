"""kwok's gate: 5,000 fake nodes Ready, 10,000 pods Running, all of them deleted."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.objects import deployment
from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.waiting import nodes_ready, pods_running, until
from benchmarks.wire import Address, ask_json

NODES = 5000
PODS = 10_000
PATH = "/apis/apps/v1/namespaces/default/deployments"


def measure() -> Iterator[Row]:
    with Server(nodes={"count": NODES}, network={"pod_cidr": "100.64.0.0/11"}) as server:
        address = server.address
        ready = server.started_in + until(lambda: nodes_ready(address) >= NODES, 120, f"{NODES} ready nodes", pause=0.5)
        yield _row(f"{NODES:,} fake nodes Ready", "60 s (kwok's gate)", ready)
        ask_json(address, "POST", PATH, deployment("web", PODS))
        running = until(
            lambda: _ready(address) >= PODS and pods_running(address) >= PODS, 240, f"{PODS} running pods", 0.5
        )
        yield _row(f"{PODS:,} pods Running on them", "60 s (kwok's gate)", running)
        ask_json(address, "DELETE", f"{PATH}/web?propagationPolicy=Background")
        gone = until(lambda: _left(address) == 0, 240, "the pods to be gone", 0.5)
        yield _row(f"{PODS:,} pods deleted", "90 s (kwok's gate)", gone)


def _row(name: str, reference: str, seconds: float) -> Row:
    return Row(name, reference, "<= 30 s", f"{seconds:.1f} s", limit(seconds, at_most=30))


def _ready(address: Address) -> int:
    ready: int = ask_json(address, "GET", f"{PATH}/web")["status"].get("readyReplicas", 0)
    return ready


def _left(address: Address) -> int:
    page = ask_json(address, "GET", "/api/v1/namespaces/default/pods?limit=1")
    return len(page["items"])
