"""Waiting for a cluster to get somewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.wire import Address, ask_json

__all__ = ["nodes_ready", "pods_running", "until"]


def until(done: Callable[[], bool], seconds: float, what: str, pause: float = 0.2) -> float:
    """Ask again and again; returns the seconds that it took."""
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > seconds:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)
    return time.perf_counter() - began


def nodes_ready(address: Address) -> int:
    """How many nodes are Ready."""
    return sum(_ready(node) for node in ask_json(address, "GET", "/api/v1/nodes")["items"])


def _ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pods_running(address: Address) -> int:
    """How many pods of the default namespace run, counted by the server's own field selector."""
    path = "/api/v1/namespaces/default/pods?fieldSelector=status.phase%3DRunning"
    return len(ask_json(address, "GET", path)["items"])
