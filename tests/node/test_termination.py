"""How pods end: grace periods, deletion through the API, forced removal, refusal, eviction, node shutdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.api.core import Pod, ResourceRequirements
from kybern.node.config import NodeConfig
from tests.node.world import Node, World, condition, container, pod, state_of, world

pytestmark = pytest.mark.anyio


async def test_a_deleted_pod_is_stopped_reported_and_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.client.delete(Pod, "p", "default")
        await w.settle()
        assert w.client.pod("p") is None
        last = w.client.history["p"][-1]
        assert (last.status.phase, last.status.containerStatuses[0].state.terminated.exitCode) == ("Succeeded", 0)
        assert "Stopping container c" in w.events.said("p", "Killing")
        assert await w.runtime().list_pod_sandboxes() == ()
        assert not w.agent.nodes["n1"].workers


async def test_a_pod_that_somebody_declares_failed_is_stopped(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p"))
        w.client.change(p, lambda o: setattr(o.status, "phase", "Failed"))
        await w.settle()
        p = w.client.pod("p")
        assert (p.status.phase, state_of(p)[0]) == ("Failed", "terminated")


async def test_a_stubborn_container_is_killed_when_its_grace_is_over(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "1000"}, terminationGracePeriodSeconds=20))
        await w.client.delete(Pod, "p", "default")
        await w.pass_time(19)
        assert state_of(w.client.pod("p")) == ("running", "")
        await w.pass_time(2)
        assert w.client.pod("p") is None
        last = w.client.history["p"][-1]
        assert (last.status.phase, last.status.containerStatuses[0].state.terminated.exitCode) == ("Failed", 137)


async def test_a_second_deletion_with_less_grace_hastens_the_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "1000"}, terminationGracePeriodSeconds=600))
        await w.client.delete(Pod, "p", "default")
        await w.pass_time(10)
        await w.client.delete(Pod, "p", "default", grace_period=5)
        await w.pass_time(4)
        assert w.client.pod("p") is not None
        await w.pass_time(2)
        assert w.client.pod("p") is None


async def test_a_pod_forced_out_of_the_api_leaves_nothing_running(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "1000"}))
        await w.client.delete(Pod, "p", "default", grace_period=0)
        await w.pass_time(40)
        assert await w.runtime().list_pod_sandboxes() == ()
        assert not w.agent.nodes["n1"].workers


async def test_only_the_same_pod_is_deleted_not_one_of_its_name(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "5"}))
        await w.client.delete(Pod, "p", "default")
        await w.settle()
        await w.client.delete(Pod, "p", "default", grace_period=0)
        again = await w.run(pod("p"))
        await w.pass_time(20)
        assert w.client.pod("p").metadata.uid == again.metadata.uid
        assert w.client.pod("p").status.phase == "Running"
        assert len(await w.runtime().list_pod_sandboxes()) == 1


async def test_deletion_interrupts_a_slow_start(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"pull-delay": "1000"}))
        await w.pass_time(5)
        await w.client.delete(Pod, "p", "default")
        await w.pass_time(1)
        assert w.client.pod("p") is None


async def test_deletion_of_a_pod_that_waits_for_its_image(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container(image="nginx:does-not-exist")))
        await w.pass_time(30)
        await w.client.delete(Pod, "p", "default")
        await w.settle()
        assert w.client.pod("p") is None
        last = w.client.history["p"][-1].status
        ended = last.containerStatuses[0].state.terminated
        assert (last.phase, ended.reason, ended.exitCode) == ("Failed", "ContainerStatusUnknown", 137)


async def test_a_finished_pod_keeps_its_containers_until_it_is_deleted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", container(image="busybox", command=["echo", "hi"]), restartPolicy="Never"))
        assert p.status.phase == "Succeeded"
        await w.pass_time(300)
        assert len(await w.runtime().list_containers()) == 1
        await w.client.delete(Pod, "p", "default")
        await w.settle()
        assert await w.runtime().list_containers() == ()


def asks(cpu: str, memory: str = "1Mi") -> Any:
    return container(resources=ResourceRequirements(requests={"cpu": cpu, "memory": memory}))


async def test_a_pod_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("a", asks("30")))
        p = await w.run(pod("b", asks("4")))
        assert (p.status.phase, p.status.reason) == ("Failed", "OutOfcpu")
        said = "Node didn't have enough resource: cpu, requested: 4000, used: 30000, capacity: 32000"
        assert p.status.message == f"Pod was rejected: {said}"
        assert w.events.said("b", "OutOfcpu") == [said]
        assert p.status.containerStatuses is None
        await w.client.delete(Pod, "a", "default")
        await w.settle()
        assert (await w.run(pod("c", asks("4")))).status.phase == "Running"


async def test_a_pod_for_other_nodes_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", nodeSelector={"disk": "ssd"}))
        assert (p.status.phase, p.status.reason) == ("Failed", "NodeAffinity")


async def test_host_ports_clash(tmp_path: Path) -> None:
    from kybern.api.core import ContainerPort

    port = ContainerPort(containerPort=80, hostPort=8080)
    async with world(tmp_path) as w:
        await w.run(pod("a", container(ports=[port])))
        p = await w.run(pod("b", container(ports=[port])))
        assert (p.status.phase, p.status.reason) == ("Failed", "NodePorts")


async def test_the_hundred_and_eleventh_pod_is_one_too_many(tmp_path: Path) -> None:
    made = World(tmp_path)
    await made.start(NodeConfig(name="n1", internal_ip="172.18.0.2", pod_cidr="10.244.1.0/24", max_pods=2))
    try:
        phases = [(await made.run(pod(f"p{i}"))).status.phase for i in range(3)]
        assert phases == ["Running", "Running", "Failed"]
        assert made.client.pod("p2").status.reason == "OutOfpods"
    finally:
        await made.stop()


async def test_an_evicted_pod_fails_with_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        w.agent.evict("default", "p", "The node was low on resource: memory.")
        await w.settle()
        p = w.client.pod("p")
        assert (p.status.phase, p.status.reason) == ("Failed", "Evicted")
        assert p.status.message == "The node was low on resource: memory."
        assert condition(p, "DisruptionTarget").reason == "TerminationByKubelet"


async def test_an_eviction_goes_on_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "1000"}, terminationGracePeriodSeconds=60))
        w.agent.evict("default", "p", "The node was low on resource: memory.")
        await w.pass_time(10)
        assert w.client.pod("p").status.phase == "Running"
        await w.stop()
        await w.start()
        await w.pass_time(61)
        assert (w.client.pod("p").status.phase, w.client.pod("p").status.reason) == ("Failed", "Evicted")


async def test_a_node_that_shuts_down_ends_its_pods_and_refuses_new_ones(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"stop-delay": "1000"}))
        await w.agent.shutdown_node("n1", 10)
        await w.pass_time(11)
        p = w.client.pod("p")
        assert (p.status.phase, p.status.reason) == ("Failed", "Terminated")
        assert p.status.message == "Pod was terminated in response to imminent node shutdown."
        node = w.client.objects[Node, "", "n1"]
        ready = next(c for c in node.status.conditions if c.type == "Ready")
        assert (ready.status, ready.message) == ("False", "node is shutting down")
        assert (await w.run(pod("q"))).status.reason == "NodeShutdown"
