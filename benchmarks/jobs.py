"""How fast pods of a large Job go through, and what Deployments, Jobs and CronJobs at rest cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.waiting import nodes_ready, until
from benchmarks.wire import Address, ask_json

COMPLETIONS = 2000
PARALLELISM = 200
NODES = 50
JOBS = 1000
DEPLOYMENTS = 1000
DEPLOYMENT_NODES = 12
"""Room for a pod of each Deployment."""
CRONJOBS = 200
REST = 10.0
"""Seconds over which the processor time at rest is taken."""
APPS = "/apis/apps/v1/namespaces/default"
PATH = "/apis/batch/v1/namespaces/default"


def measure() -> Iterator[Row]:
    with Server(nodes={"count": NODES}) as server:
        until(lambda: nodes_ready(server.address) >= NODES, 60, f"{NODES} nodes to be ready")
        began = time.perf_counter()
        ask_json(server.address, "POST", f"{PATH}/jobs", job("work", COMPLETIONS, PARALLELISM))
        until(lambda: _succeeded(server.address, "work") >= COMPLETIONS, 120, "the Job to complete", pause=0.1)
        rate = COMPLETIONS / (time.perf_counter() - began)
    name = f"Job of {COMPLETIONS:,}, {PARALLELISM} at a time, on {NODES} nodes"
    yield Row(name, "", ">= 200 pods/s", f"{rate:,.0f} pods/s", limit(rate, at_least=200))
    yield from _rest()


def _rest() -> Iterator[Row]:
    with Server(nodes={"count": DEPLOYMENT_NODES}) as server:
        address = server.address
        for i in range(DEPLOYMENTS):
            ask_json(address, "POST", f"{APPS}/deployments", deployment(f"web-{i}"))
        for i in range(JOBS):
            # Half of them are finished, half wait to be resumed.
            ask_json(address, "POST", f"{PATH}/jobs", job(f"job-{i}", 0 if i % 2 else 1, 1, suspend=not i % 2))
        for i in range(CRONJOBS):
            ask_json(address, "POST", f"{PATH}/cronjobs", cronjob(f"tick-{i}"))
        until(lambda: _settled(address) >= JOBS, 60, f"{JOBS} Jobs to settle", pause=1.0)
        until(lambda: _available(address) >= DEPLOYMENTS, 60, f"{DEPLOYMENTS} Deployments to be available", pause=1.0)
        before = server.cpu()
        time.sleep(REST)
        share, memory = (server.cpu() - before) / REST * 100, server.memory()
    met = limit(share, at_most=1) and limit(memory, at_most=250)
    name = f"{DEPLOYMENTS:,} Deployments, {JOBS:,} Jobs, {CRONJOBS} CronJobs at rest"
    yield Row(name, "", "<= 1% of a core, <= 250 MB", f"{share:.1f}%, {memory:.0f} MB", met)


def deployment(name: str) -> dict[str, Any]:
    """One of one pod."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name: str, completions: int, parallelism: int, **spec: Any) -> dict[str, Any]:
    """A Job whose pods do nothing and end at once."""
    container = {"name": "c", "image": "busybox", "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"completions": completions, "parallelism": parallelism, "template": template, **spec},
    }


def cronjob(name: str) -> dict[str, Any]:
    """One that has long to wait."""
    spec = {"schedule": "0 0 29 2 *", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": job(name, 1, 1)["spec"]}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def _succeeded(address: Address, name: str) -> int:
    status = ask_json(address, "GET", f"{PATH}/jobs/{name}")["status"]
    done = any(c["type"] == "Complete" for c in status.get("conditions") or ())
    succeeded: int = status.get("succeeded", 0)
    return succeeded if done else 0


def _settled(address: Address) -> int:
    items = ask_json(address, "GET", f"{PATH}/jobs")["items"]
    return sum(bool(item["status"].get("conditions")) for item in items)


def _available(address: Address) -> int:
    items = ask_json(address, "GET", f"{APPS}/deployments")["items"]
    return sum(item["status"].get("availableReplicas", 0) for item in items)
