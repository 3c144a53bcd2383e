"""Leases, node status, conditions, relief under pressure, and an API server that is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.api import types
from kybern.api.coordination import Lease
from kybern.api.core import ResourceRequirements
from kybern.api.errors import StatusError
from kybern.node.config import NodeConfig, numbered_nodes
from kybern.node.runtime import RuntimeCondition, RuntimeStatus
from tests.node.world import Node, World, container, pod, world

pytestmark = pytest.mark.anyio


def node_of(w: World) -> Any:
    return w.client.objects[Node, "", "n1"]


def conditions(w: World) -> dict[str, str]:
    return {c.type: c.status for c in node_of(w).status.conditions}


def count(w: World, verb: str, kind: str) -> int:
    return sum(1 for write in w.client.writes if write[:2] == (verb, kind))


async def test_the_lease_is_renewed_every_ten_seconds_and_the_status_every_five_minutes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for _ in range(300):
            await w.pass_time(10)
        assert 298 <= count(w, "update", "Lease") <= 302
        assert 9 <= count(w, "status", "Node") <= 10
        renewed = w.client.objects[Lease, "kube-node-lease", "n1"].spec.renewTime
        assert renewed > "2026-01-01T00:49:45"


async def test_an_hour_at_once_needs_few_beats_and_pods_are_looked_after_now_and_then(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.pass_time(30)
        w.client.writes.clear()
        await w.pass_time(3600)
        assert count(w, "update", "Lease") <= 3
        assert w.client.objects[Lease, "kube-node-lease", "n1"].spec.renewTime >= "2026-01-01T01:00:20"
        await w.run(pod("one", container("a")))
        await w.pass_time(30)
        w.client.writes.clear()
        await w.pass_time(3600)
        assert 4 <= count(w, "update", "Lease") <= 7


async def test_nodes_do_not_renew_in_step(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(*numbered_nodes(50))
    try:
        await w.pass_time(100)
        for _ in range(10):
            await w.pass_time(1)
        seconds = [w.client.objects[Lease, "kube-node-lease", f"node-{i}"].spec.renewTime[17:19] for i in range(1, 51)]
        assert len(set(seconds)) >= 8
    finally:
        await w.stop()


async def test_a_range_that_came_with_another_write_reaches_the_runtime(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(NodeConfig(name="n1", internal_ip="172.18.0.2"))
    try:
        changed = types.copy(node_of(w))
        changed.spec.podCIDR = "10.244.9.0/24"
        w.agent.nodes["n1"].object = changed  # as the answer to the agent's own write, before the informer
        w.client.change(node_of(w), lambda n: setattr(n.spec, "podCIDR", "10.244.9.0/24"))
        await w.settle()
        assert (await w.run(pod("p"))).status.podIP.startswith("10.244.9.")
    finally:
        await w.stop()


async def test_leases_that_are_due_together_are_written_together(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(*numbered_nodes(400))
    try:
        await w.pass_time(20)
        w.client.writes.clear()
        await w.pass_time(10)
        leases = [w.client.objects[Lease, "kube-node-lease", f"node-{i}"].spec.renewTime for i in range(1, 401)]
        assert count(w, "update", "Lease") == 400
        assert len(set(leases)) <= 41
    finally:
        await w.stop()


async def test_a_sick_runtime_makes_the_node_not_ready_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        runtime = w.runtime()
        well = runtime.health
        runtime.health = RuntimeStatus(
            (
                RuntimeCondition("RuntimeReady", True),
                RuntimeCondition("NetworkReady", False, "NoCNI", "cni not initialized"),
            )
        )
        await w.pass_time(11)
        ready = next(c for c in node_of(w).status.conditions if c.type == "Ready")
        assert (ready.status, ready.reason) == ("False", "KubeletNotReady")
        said = "container network is not ready: NetworkReady=false reason:NoCNI message:cni not initialized"
        assert ready.message == said
        runtime.health = well
        await w.pass_time(11)
        assert conditions(w)["Ready"] == "True"
        assert w.events.reasons("n1")[-2:] == ["NodeNotReady", "NodeReady"]


async def test_pulled_images_show_on_the_node(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container(image="nginx:1.27")))
        await w.pass_time(11)
        names = [name for image in node_of(w).status.images for name in image.names]
        assert "docker.io/library/nginx:1.27" in names


async def test_a_node_that_is_registered_already_is_taken_over(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(NodeConfig(name="n1", internal_ip="172.18.0.2", pod_cidr="10.244.1.0/24"))
    await w.stop()
    uid = node_of(w).metadata.uid
    w.client.change(node_of(w), lambda n: setattr(n.spec, "unschedulable", True))
    await w.start(
        NodeConfig(name="n1", internal_ip="172.18.0.9", labels={"disk": "ssd"}, capacity={"example.com/gpu": "2"})
    )
    try:
        node = node_of(w)
        assert (node.metadata.uid, node.spec.unschedulable, node.metadata.labels["disk"]) == (uid, True, "ssd")
        assert node.status.addresses[0].address == "172.18.0.9"
        assert node.status.allocatable["example.com/gpu"] == "2"
    finally:
        await w.stop()


async def test_a_deleted_node_stays_away_until_somebody_makes_it_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        gone = node_of(w)
        await w.client.delete(Node, "n1")
        await w.client.delete(Lease, "n1", "kube-node-lease")
        await w.pass_time(60)
        assert (Node, "", "n1") not in w.client.objects
        assert (Lease, "kube-node-lease", "n1") not in w.client.objects
        w.client.add(Node(metadata=gone.metadata, spec=gone.spec))
        await w.pass_time(11)
        assert conditions(w)["Ready"] == "True"
        lease = w.client.objects[Lease, "kube-node-lease", "n1"]
        assert lease.metadata.ownerReferences[0].uid == node_of(w).metadata.uid


async def test_reserved_resources_are_not_allocatable(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(
        NodeConfig(name="n1", capacity={"cpu": "4", "memory": "8Gi"}, reserved={"cpu": "500m", "memory": "1Gi"})
    )
    try:
        status = node_of(w).status
        assert (status.allocatable["cpu"], status.allocatable["memory"]) == ("3500m", "7Gi")
    finally:
        await w.stop()


async def test_an_api_server_that_is_away_is_asked_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.client.failing = StatusError(503, "ServiceUnavailable", "away")
        w.client.add(pod("p"))
        await w.pass_time(60)
        assert w.client.pod("p").status.phase == "Pending"
        w.client.failing = None
        await w.pass_time(12)
        assert w.client.pod("p").status.phase == "Running"
        assert w.client.objects[Lease, "kube-node-lease", "n1"].spec.renewTime > "2026-01-01T00:01:00"


async def test_a_node_starts_when_the_api_server_comes(tmp_path: Path) -> None:
    w = World(tmp_path)
    w.client.failing = StatusError(503, "ServiceUnavailable", "not yet")
    await w.start()
    try:
        await w.pass_time(20)
        w.client.failing = None
        await w.pass_time(6)
        assert conditions(w)["Ready"] == "True"
        assert (await w.run(pod("p"))).status.phase == "Running"
    finally:
        await w.stop()


async def test_somebody_elses_write_to_a_status_is_repaired_and_conflicts_are_retried(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p"))
        w.client.change(p, lambda o: setattr(o.status, "phase", "Pending"))
        await w.settle()
        assert w.client.pod("p").status.phase == "Running"
        w.agent.nodes["n1"].workers[p.metadata.uid].pod = p  # an informer that lags behind
        w.runtime().crash("default", "p", "c", 1)
        await w.settle()
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 1


async def test_a_greedy_pod_is_evicted_and_best_effort_pods_are_refused_for_a_while(tmp_path: Path) -> None:
    polite = container(resources=ResourceRequirements(requests={"memory": "100Gi"}))
    async with world(tmp_path) as w:
        await w.run(pod("polite", polite, annotations={"memory": "90Gi"}))
        await w.run(pod("greedy", annotations={"memory": "200Gi"}))
        await w.pass_time(11)
        assert conditions(w)["MemoryPressure"] == "True"
        greedy = w.client.pod("greedy")
        assert (greedy.status.phase, greedy.status.reason) == ("Failed", "Evicted")
        assert greedy.status.message.startswith(
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: "
        )
        assert "Container c was using 200Gi, request is 0" in greedy.status.message
        assert w.client.pod("polite").status.phase == "Running"
        late = await w.run(pod("late"))
        assert (late.status.reason, late.status.message) == (
            "Evicted", "Pod was rejected: The node had condition: [MemoryPressure]. ",
        )  # fmt: skip
        await w.pass_time(320)
        assert conditions(w)["MemoryPressure"] == "False"
        assert (await w.run(pod("later"))).status.phase == "Running"


async def test_disk_pressure_on_request(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.agent.set_pressure("n1", "DiskPressure", True)
        assert conditions(w)["DiskPressure"] == "True"
        assert (await w.run(pod("p"))).status.reason == "Evicted"
        assert (await w.run(pod("q", priority=2_000_001_000))).status.phase == "Running"
        await w.agent.set_pressure("n1", "DiskPressure", False)
        assert (await w.run(pod("r"))).status.phase == "Running"


async def test_pods_wait_for_the_nodes_range_but_not_for_ever(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(NodeConfig(name="n1", internal_ip="172.18.0.2"))
    try:
        assert (await w.run(pod("early"))).status.phase == "Pending"
        await w.pass_time(5)
        assert len(w.client.history["early"]) == 2, "nothing new is told while it waits"
        w.client.change(node_of(w), lambda n: setattr(n.spec, "podCIDR", "10.244.9.0/24"))
        await w.settle()
        assert w.client.pod("early").status.podIP.startswith("10.244.9.")
        assert (await w.run(pod("host", hostNetwork=True))).status.podIP == "172.18.0.2"
    finally:
        await w.stop()


async def test_without_any_range_pods_start_in_the_end(tmp_path: Path) -> None:
    w = World(tmp_path)
    await w.start(NodeConfig(name="n1", internal_ip="172.18.0.2"))
    try:
        await w.run(pod("p"))
        await w.pass_time(12)
        assert w.client.pod("p").status.podIP.startswith("10.88.")
    finally:
        await w.stop()
