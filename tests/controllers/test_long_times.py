"""Days of a whole cluster at once: nodes that live stay alive, one that dies is found out as if time had gone slowly."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import Deployment
from kybern.api.batch import CronJob, Job
from kybern.api.core import Event, Node, Pod
from kybern.api.time import parse_time
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig

DAY = 86_400.0
CONTAINER = {"name": "c", "image": "nginx"}

pytestmark = pytest.mark.anyio


@pytest.fixture
def kybern_config() -> Config:
    """Two nodes: one may die."""
    store = StoreConfig(driver="memory")
    return Config(name="test", api=APIConfig(port=0), store=store, nodes=NodesConfig(count=2))


async def apply(cluster: Cluster, kind: type[Any], name: str, spec: dict[str, Any]) -> None:
    data = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
    await cluster.client.create(types.from_plain(kind, data))


async def deploy(cluster: Cluster) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
    selector = {"matchLabels": {"app": "web"}}
    await apply(cluster, Deployment, "web", {"replicas": 3, "selector": selector, "template": template})


async def advance(cluster: Cluster, seconds: float) -> None:
    clock: Any = cluster.clock
    await clock.advance(seconds)


def all_of(cluster: Cluster, kind: type[Any]) -> list[Any]:
    return list(cluster.informers.informer(kind).list())


def ready(cluster: Cluster) -> dict[str, Any]:
    """The nodes' Ready conditions."""
    nodes = all_of(cluster, Node)
    return {n.metadata.name: next(c for c in n.status.conditions if c.type == "Ready") for n in nodes}


async def test_a_week_at_once_leaves_everything_as_it_was(kybern_cluster: Cluster) -> None:
    await deploy(kybern_cluster)
    await advance(kybern_cluster, 60)
    before = {pod.metadata.uid for pod in all_of(kybern_cluster, Pod)}
    for days in (0.5, 6.5):
        await advance(kybern_cluster, days * DAY)
        assert {name: c.status for name, c in ready(kybern_cluster).items()} == {"node-1": "True", "node-2": "True"}
    assert {pod.metadata.uid for pod in all_of(kybern_cluster, Pod)} == before
    assert all(c.lastTransitionTime < "2026-01-01T00:01:00Z" for c in ready(kybern_cluster).values())


@pytest.mark.parametrize("slept", [0.0, 7.0, 33.0])
async def test_a_node_that_dies_after_a_day_at_once_is_found_out_in_time(kybern_cluster: Cluster, slept: float) -> None:
    await deploy(kybern_cluster)
    await advance(kybern_cluster, 60)
    await advance(kybern_cluster, DAY)
    await advance(kybern_cluster, slept)
    assert kybern_cluster.nodes is not None
    died = kybern_cluster.clock.now()
    await kybern_cluster.nodes.stop_node("node-2")
    await advance(kybern_cluster, DAY)
    conditions = ready(kybern_cluster)
    assert conditions["node-1"].status == "True" and conditions["node-2"].status == "Unknown"
    assert 39 <= parse_time(conditions["node-2"].lastTransitionTime) - died <= 51
    assert {pod.spec.nodeName for pod in all_of(kybern_cluster, Pod) if not pod.metadata.deletionTimestamp} == {
        "node-1"
    }


async def test_a_month_of_daily_runs_is_thirty_runs(kybern_cluster: Cluster) -> None:
    pod = {"restartPolicy": "Never", "containers": [{**CONTAINER, "command": ["sh", "-c", "sleep 600"]}]}
    spec = {"schedule": "30 4 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    await apply(kybern_cluster, CronJob, "daily", {**spec, "successfulJobsHistoryLimit": 30})
    await advance(kybern_cluster, 30 * DAY)
    jobs = all_of(kybern_cluster, Job)
    assert len(jobs) == 30
    for job in jobs:
        assert job.status.startTime.endswith("T04:30:00Z")
        assert 600 <= parse_time(job.status.completionTime) - parse_time(job.status.startTime) <= 605
    assert not [e for e in all_of(kybern_cluster, Event) if e.type == "Warning"]
