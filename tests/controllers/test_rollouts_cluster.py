"""StatefulSets, DaemonSets and Deployments in a whole cluster, with all that goes wrong around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import DaemonSet, Deployment, StatefulSet
from kybern.api.core import Node, PersistentVolumeClaim, Pod, ResourceQuota
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig

pytestmark = pytest.mark.anyio

KINDS = {"StatefulSet": StatefulSet, "DaemonSet": DaemonSet, "Deployment": Deployment}
LABELS = {"app": "web"}


@pytest.fixture
def kybern_config() -> Config:
    """Three nodes: one may die."""
    store = StoreConfig(driver="memory")
    return Config(name="test", api=APIConfig(port=0), store=store, nodes=NodesConfig(count=3))


def template(image: str = "nginx:1") -> dict[str, Any]:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}]}}


async def create(cluster: Cluster, kind: type[Any], **spec: Any) -> Any:
    """`web` of this kind, three pods of nginx:1 unless told."""
    spec = {"selector": {"matchLabels": LABELS}, "template": template(), **spec}
    if kind is not DaemonSet:
        spec.setdefault("replicas", 3)
    if kind is StatefulSet:
        spec.setdefault("serviceName", "web")
    data = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    return await cluster.client.create(types.from_plain(kind, data))


async def patch(cluster: Cluster, kind: type[Any], **spec: Any) -> None:
    await cluster.client.patch(kind, "web", "default", {"spec": spec}, type="strategic")


async def quota(cluster: Cluster, pods: int) -> None:
    data = {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": str(pods)}}}
    await cluster.client.create(types.from_plain(ResourceQuota, data))
    await advance(cluster, 5)


async def advance(cluster: Cluster, seconds: float) -> None:
    clock: Any = cluster.clock
    await clock.advance(seconds)


async def until(cluster: Cluster, done: Callable[[], Any], limit: float = 900) -> None:
    clock: Any = cluster.clock
    await clock.advance_until(lambda: bool(done()), limit)


def pods(cluster: Cluster) -> list[Any]:
    found: list[Any] = cluster.informers.informer(Pod).list("default")
    return sorted(found, key=lambda pod: pod.metadata.name)


def running(cluster: Cluster, image: str = "nginx:1") -> list[Any]:
    """Pods of that image that run and stay."""
    return [
        pod
        for pod in pods(cluster)
        if pod.status.phase == "Running"
        and not pod.metadata.deletionTimestamp
        and pod.spec.containers[0].image == image
    ]


def only(cluster: Cluster, image: str, count: int = 3) -> bool:
    """Whether all pods there are run this image."""
    return len(running(cluster, image)) == count == len(pods(cluster))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pod_deleted_by_hand_is_made_anew(kybern_cluster: Cluster, kind: str) -> None:
    await create(kybern_cluster, KINDS[kind])
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    gone = running(kybern_cluster)[1].metadata
    await kybern_cluster.client.delete(Pod, gone.name, "default")
    await until(
        kybern_cluster,
        lambda: only(kybern_cluster, "nginx:1") and gone.uid not in {p.metadata.uid for p in pods(kybern_cluster)},
    )
    if kind == "StatefulSet":
        assert [p.metadata.name for p in pods(kybern_cluster)] == ["web-0", "web-1", "web-2"]
    if kind == "DaemonSet":
        assert {p.spec.nodeName for p in pods(kybern_cluster)} == {"node-1", "node-2", "node-3"}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_spec_changes_in_mid_rollout(kybern_cluster: Cluster, kind: str) -> None:
    await create(kybern_cluster, KINDS[kind], minReadySeconds=5)
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    await advance(kybern_cluster, 10)
    await patch(kybern_cluster, KINDS[kind], template=template("nginx:2"))
    await until(kybern_cluster, lambda: running(kybern_cluster, "nginx:2") and running(kybern_cluster, "nginx:1"))
    await patch(kybern_cluster, KINDS[kind], template=template("nginx:3"))
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:3"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_quota_that_runs_out_only_delays(kybern_cluster: Cluster, kind: str) -> None:
    await quota(kybern_cluster, 1)
    await create(kybern_cluster, KINDS[kind])
    await until(kybern_cluster, lambda: running(kybern_cluster))
    await advance(kybern_cluster, 60)
    assert len(pods(kybern_cluster)) == 1
    await kybern_cluster.client.delete(ResourceQuota, "q", "default")
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"), 3000)


async def test_a_deployments_pods_move_from_a_node_that_dies(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Deployment)
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    dead = running(kybern_cluster)[0].spec.nodeName
    nodes: Any = kybern_cluster.nodes
    await nodes.stop_node(dead)
    await until(
        kybern_cluster,
        lambda: len([p for p in running(kybern_cluster) if p.spec.nodeName != dead]) == 3,
        1200,
    )


async def test_a_stateful_sets_pod_on_a_dead_node_has_no_double_until_it_is_forced_away(
    kybern_cluster: Cluster,
) -> None:
    """Two pods of one identity must never run: nobody but a human (or the node's end) knows that the first is dead."""
    await create(kybern_cluster, StatefulSet)
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    victim = running(kybern_cluster)[1]
    nodes: Any = kybern_cluster.nodes
    await nodes.stop_node(victim.spec.nodeName)
    await advance(kybern_cluster, 1200)
    left = next(p for p in pods(kybern_cluster) if p.metadata.name == victim.metadata.name)
    assert left.metadata.uid == victim.metadata.uid and left.metadata.deletionTimestamp
    await kybern_cluster.client.delete(Pod, victim.metadata.name, "default", grace_period=0)
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    again = next(p for p in pods(kybern_cluster) if p.metadata.name == victim.metadata.name)
    assert again.spec.nodeName != victim.spec.nodeName


async def test_a_daemon_set_follows_the_nodes_that_die_and_go(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, DaemonSet)
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    nodes: Any = kybern_cluster.nodes
    await nodes.stop_node("node-2")
    await advance(kybern_cluster, 1200)
    found: Any = await kybern_cluster.client.get(DaemonSet, "web", "default")
    # Its pods bear an unreachable node for ever, but no new one would start there (unreachable:NoSchedule).
    status = found.status
    assert (status.desiredNumberScheduled, status.numberReady, status.numberMisscheduled) == (2, 2, 1)
    assert len(pods(kybern_cluster)) == 3
    assert not any(p.metadata.deletionTimestamp for p in pods(kybern_cluster))
    await kybern_cluster.client.delete(Node, "node-2")
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1", 2))


async def test_claims_are_kept_or_deleted_as_the_retention_policy_says(kybern_cluster: Cluster) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    await create(
        kybern_cluster,
        StatefulSet,
        volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": claim}],
        persistentVolumeClaimRetentionPolicy=policy,
    )
    await until(kybern_cluster, lambda: only(kybern_cluster, "nginx:1"))
    claims: Any = kybern_cluster.informers.informer(PersistentVolumeClaim)
    await patch(kybern_cluster, StatefulSet, replicas=1)
    await until(kybern_cluster, lambda: [c.metadata.name for c in claims.list("default")] == ["data-web-0"])
    await kybern_cluster.client.delete(StatefulSet, "web", "default", propagation="Background")
    await until(kybern_cluster, lambda: not pods(kybern_cluster))
    await advance(kybern_cluster, 600)
    assert [c.metadata.name for c in claims.list("default")] == ["data-web-0"]
