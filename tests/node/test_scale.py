"""Many nodes and pods in one process: what they cost in writes, tasks and calls, not in time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kybern.node.config import numbered_nodes
from kybern_runtime_fake.driver import FakeDriver
from tests.node.world import World, pod

pytestmark = pytest.mark.anyio


async def test_five_hundred_nodes_with_pods_cost_two_writes_each_and_no_tasks(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(*numbered_nodes(500, pod_cidr="10.244.0.0/24"))
    try:
        assert sum(1 for verb, kind, _ in w.client.writes if kind in ("Node", "Lease")) == 1000
        for i in range(1000):
            w.client.add(pod(f"p{i}", node=f"node-{i % 500 + 1}"))
        await w.settle()
        pods = [w.client.pod(f"p{i}") for i in range(1000)]
        assert all(p.status.phase == "Running" for p in pods)
        assert sum(1 for verb, kind, _ in w.client.writes if (verb, kind) == ("status", "Pod")) == 1000
        assert len(asyncio.all_tasks()) < 20
        for p in pods:
            await w.client.delete(type(p), p.metadata.name, "default")
        await w.settle()
        assert not any(w.client.pod(f"p{i}") for i in range(1000))
        assert sum(1 for verb, kind, _ in w.client.writes if (verb, kind) == ("status", "Pod")) == 2000
    finally:
        await w.stop()


async def test_a_burst_keeps_to_the_kubelets_event_limit_but_tells_every_warning(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(*numbered_nodes(20, pod_cidr="10.244.0.0/24"))
    try:
        for i in range(400):
            image = "nginx:does-not-exist" if i % 100 == 0 else "nginx:1"
            made = pod(f"p{i}", node=f"node-{i % 20 + 1}")
            made.spec.containers[0].image = image
            w.client.add(made)
        await w.settle()
        told = [e for e in w.events.all if e[1] == "Normal"]
        assert len(told) <= 100
        assert sum(1 for e in w.events.all if e[2] == "Failed") == 8
    finally:
        await w.stop()


class SilentDriver(FakeDriver):
    """A runtime that tells nothing by itself."""

    async def start(self) -> None:
        await super().start()
        self.runtime.on_event = lambda callback: False  # type: ignore[method-assign]


async def test_a_runtime_without_events_is_listed_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.node.world.FakeDriver", SilentDriver)
    w = World(tmp_path)
    await w.start()
    try:
        await w.run(pod("p", annotations={"exits": "1,-", "exit-after": "5"}))
        await w.pass_time(4)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 0
        await w.pass_time(3)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 1
    finally:
        await w.stop()
