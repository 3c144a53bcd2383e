"""Resources of running containers change in place, or wait with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.api.core import ContainerResizePolicy, Pod, ResourceRequirements
from tests.node.world import World, condition, container, pod, world

pytestmark = pytest.mark.anyio


def sized(cpu: str, **fields: Any) -> Any:
    resources = ResourceRequirements(requests={"cpu": cpu}, limits={"cpu": cpu})
    return container(resources=resources, **fields)


async def resize(w: World, name: str, cpu: str) -> Any:
    def change(stored: Any) -> None:
        stored.spec.containers[0].resources = ResourceRequirements(requests={"cpu": cpu}, limits={"cpu": cpu})
        stored.metadata.generation += 1

    w.client.change(w.client.pod(name), change)
    await w.settle()
    return w.client.pod(name)


def shown(p: Any) -> str:
    resources = p.status.containerStatuses[0].resources
    return str(resources.requests["cpu"])


async def test_a_resize_that_fits_is_in_force_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        before = await w.run(pod("p", sized("1")))
        after = await resize(w, "p", "2")
        assert shown(after) == "2"
        assert after.status.containerStatuses[0].containerID == before.status.containerStatuses[0].containerID
        (status,) = await w.runtime().pod_containers(after.metadata.uid)
        assert status.resources.cpu_quota == 200_000
        assert (await w.run(pod("q", sized("31")))).status.reason == "OutOfcpu"


async def test_a_container_that_wants_a_restart_for_it_gets_one(tmp_path: Path) -> None:
    policy = ContainerResizePolicy(resourceName="cpu", restartPolicy="RestartContainer")
    async with world(tmp_path) as w:
        await w.run(pod("p", sized("1", resizePolicy=[policy])))
        after = await resize(w, "p", "2")
        assert (shown(after), after.status.containerStatuses[0].restartCount) == ("2", 1)
        assert "Container c resize requires restart" in w.events.said("p", "Killing")


async def test_a_resize_waits_for_room(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("big", sized("30")))
        await w.run(pod("p", sized("1")))
        p = await resize(w, "p", "4")
        pending = condition(p, "PodResizePending")
        assert (pending.reason, shown(p)) == ("Deferred", "1")
        assert pending.message == "Node didn't have enough resource: cpu, requested: 4000, used: 30000, capacity: 32000"
        await w.stop()
        await w.start()
        assert shown(w.client.pod("p")) == "1"
        await w.client.delete(Pod, "big", "default")
        await w.pass_time(11)
        p = w.client.pod("p")
        assert shown(p) == "4"
        assert not any(c.type == "PodResizePending" for c in p.status.conditions)


async def test_more_than_the_node_has_is_infeasible(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", sized("1")))
        p = await resize(w, "p", "64")
        assert condition(p, "PodResizePending").reason == "Infeasible"
        p = await resize(w, "p", "1")
        assert not any(c.type == "PodResizePending" for c in p.status.conditions)
