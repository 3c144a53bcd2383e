"""The scheduler against the real API server, in one process, on a clock that stands still."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from kybern.api import types
from kybern.api.core import Event, Node, Pod
from kybern.api.scheduling import PriorityClass
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig
from kybern.reconcile.informers import Informers
from kybern.scheduler import Scheduler
from kybern_scheduler_policies.default_set import POLICIES

pytestmark = pytest.mark.anyio


@pytest.fixture
def kybern_config() -> Config:
    return Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(count=0))


async def create(cluster: Cluster, kind: type[Any], name: str, **fields: Any) -> Any:
    namespaced = {"namespace": "default"} if kind is Pod else {}
    plain = {"metadata": {"name": name} | namespaced} | fields
    return await cluster.client.create(types.from_plain(kind, plain))


async def node(cluster: Cluster, name: str, cpu: str = "2") -> None:
    """A node without an agent: pods are bound to it and stay pending."""
    made = await create(cluster, Node, name, spec={"providerID": f"none://{name}"})
    made = types.copy(made)
    made.spec.taints = None
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}, "conditions": [ready]}
    made = types.from_plain(Node, types.to_plain(made) | {"status": status})
    made = await cluster.client.update_status(made)
    if made.spec.taints:
        made = types.copy(made)
        made.spec.taints = None
        await cluster.client.update(made)
    await cluster.clock.advance(1)  # type: ignore[attr-defined]  # the default service account appears


async def pod(cluster: Cluster, name: str, cpu: str = "1", **spec: Any) -> None:
    container = {"name": "main", "image": "app", "resources": {"requests": {"cpu": cpu}}}
    await create(cluster, Pod, name, spec={"containers": [container]} | spec)


async def now(cluster: Cluster, name: str) -> Any:
    return await cluster.client.get(Pod, name, "default")


async def messages(cluster: Cluster, reason: str) -> list[str]:
    events = await cluster.client.list(Event, "default")
    return [e.message for e in events.items if e.reason == reason]


async def test_a_pod_is_bound_with_its_condition_and_event(kybern_cluster: Cluster) -> None:
    await node(kybern_cluster, "n")
    await pod(kybern_cluster, "p")
    await kybern_cluster.clock.advance(2)  # type: ignore[attr-defined]
    bound = await now(kybern_cluster, "p")
    assert bound.spec.nodeName == "n"
    assert [(c.type, c.status) for c in bound.status.conditions if c.type == "PodScheduled"] == [
        ("PodScheduled", "True")
    ]
    assert await messages(kybern_cluster, "Scheduled") == ["Successfully assigned default/p to n"]


async def test_a_pod_without_room_says_so_and_gets_it_when_another_is_deleted(kybern_cluster: Cluster) -> None:
    await node(kybern_cluster, "n")
    await pod(kybern_cluster, "old", cpu="2")
    await kybern_cluster.clock.advance(2)  # type: ignore[attr-defined]
    await pod(kybern_cluster, "p")
    await kybern_cluster.clock.advance(2)  # type: ignore[attr-defined]
    waiting = await now(kybern_cluster, "p")
    text = (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    (condition,) = [c for c in waiting.status.conditions if c.type == "PodScheduled"]
    assert (condition.status, condition.reason, condition.message) == ("False", "Unschedulable", text)
    assert await messages(kybern_cluster, "FailedScheduling") == [text]
    await kybern_cluster.client.delete(Pod, "old", "default", grace_period=0)
    await kybern_cluster.clock.advance(2)  # type: ignore[attr-defined]
    assert (await now(kybern_cluster, "p")).spec.nodeName == "n"


async def test_a_more_important_pod_takes_the_room(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, PriorityClass, "high", value=1000)
    await node(kybern_cluster, "n")
    await pod(kybern_cluster, "low", cpu="2")
    await kybern_cluster.clock.advance(2)  # type: ignore[attr-defined]
    await pod(kybern_cluster, "high", cpu="2", priorityClassName="high")
    await kybern_cluster.clock.advance(5)  # type: ignore[attr-defined]
    leaving = await now(kybern_cluster, "low")
    (condition,) = [c for c in leaving.status.conditions if c.type == "DisruptionTarget"]
    assert (leaving.metadata.deletionGracePeriodSeconds, condition.reason) == (30, "PreemptionByScheduler")
    assert (await now(kybern_cluster, "high")).status.nominatedNodeName == "n"
    await kybern_cluster.client.delete(Pod, "low", "default", grace_period=0)
    await kybern_cluster.clock.advance(2)  # type: ignore[attr-defined]
    assert (await now(kybern_cluster, "high")).spec.nodeName == "n"


async def test_two_schedulers_race_and_each_pod_is_bound_once_where_there_is_room(
    kybern_cluster: Cluster,
) -> None:
    import anyio

    for i in range(4):
        await node(kybern_cluster, f"n{i}")
    informers = Informers(kybern_cluster.client, kybern_cluster.clock)
    recorder = kybern_cluster.events.recorder("second-scheduler")
    rival = Scheduler(kybern_cluster.client, informers, kybern_cluster.clock, recorder, POLICIES, seed=7)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(informers.run)
        tasks.start_soon(rival.run)
        for i in range(8):
            await pod(kybern_cluster, f"p{i}")
        await kybern_cluster.clock.advance(120)  # type: ignore[attr-defined]
        tasks.cancel_scope.cancel()
    bound = [p.spec.nodeName for p in (await kybern_cluster.client.list(Pod, "default")).items]
    assert all(bound)
    for mine in (kybern_cluster.scheduler, rival):
        assert mine is not None
        assert mine.snapshot.assumed == set()
        assert sum(len(n.pods) for n in mine.snapshot.nodes) == 8


async def test_a_profile_is_read_from_the_file_that_the_config_names(tmp_path: Any) -> None:
    from kybern.clock import VirtualClock
    from kybern.cluster.cluster import running
    from kybern.config import SchedulerConfig

    file = tmp_path / "scheduler.yaml"
    file.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: mine\n"
    )
    config = attrs.evolve(
        Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(count=0)),
        scheduler=SchedulerConfig(config=str(file)),
    )
    async with running(config, clock=VirtualClock()) as cluster:
        await node(cluster, "n")
        await pod(cluster, "theirs")
        await pod(cluster, "ours", schedulerName="mine")
        await cluster.clock.advance(2)  # type: ignore[attr-defined]
        assert (await now(cluster, "ours")).spec.nodeName == "n"
        assert not (await now(cluster, "theirs")).spec.nodeName
