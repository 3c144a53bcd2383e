"""The controllers in a whole cluster: API server, scheduler, fake nodes, on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import Deployment, ReplicaSet
from kybern.api.core import Endpoints, Pod, Service
from kybern.api.discovery import EndpointSlice
from kybern.cluster.cluster import Cluster
from tests.controllers.rollouts import deployment

pytestmark = pytest.mark.anyio


async def until(cluster: Cluster, done: Callable[[], Any], limit: float = 600) -> None:
    """Let virtual time pass until `done()`."""
    clock: Any = cluster.clock
    await clock.advance_until(lambda: bool(done()), limit)


async def create(cluster: Cluster, kind: type[Any], data: dict[str, Any]) -> Any:
    data.setdefault("metadata", {}).setdefault("namespace", "default")
    return await cluster.client.create(types.from_plain(kind, data))


def all_of(cluster: Cluster, kind: type[Any], namespace: str = "") -> list[Any]:
    return cluster.informers.informer(kind).list(namespace)


def running(cluster: Cluster, image: str = "") -> list[Any]:
    return [
        pod
        for pod in all_of(cluster, Pod, "default")
        if pod.status.phase == "Running"
        and not pod.metadata.deletionTimestamp
        and (not image or pod.spec.containers[0].image == image)
    ]


def complete(cluster: Cluster) -> bool:
    found = all_of(cluster, Deployment, "default")
    if not found:
        return False
    d = found[0]
    wanted = d.spec.replicas
    counts = (d.status.updatedReplicas, d.status.replicas, d.status.availableReplicas)
    return d.status.observedGeneration == d.metadata.generation and counts == (wanted, wanted, wanted)


async def set_image(cluster: Cluster, image: str) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    patch = {"spec": {"template": template}}
    await cluster.client.patch(Deployment, "web", "default", patch, type="strategic")


async def test_a_deployment_rolls_out_and_back(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Deployment, deployment(4))
    await until(kybern_cluster, lambda: complete(kybern_cluster))
    await set_image(kybern_cluster, "nginx:2")
    await until(kybern_cluster, lambda: complete(kybern_cluster) and len(running(kybern_cluster, "nginx:2")) == 4)
    await set_image(kybern_cluster, "nginx:1")
    await until(kybern_cluster, lambda: complete(kybern_cluster) and len(running(kybern_cluster, "nginx:1")) == 4)
    sets = {rs.metadata.annotations["deployment.kubernetes.io/revision"] for rs in all_of(kybern_cluster, ReplicaSet)}
    assert sets == {"2", "3"}


@pytest.mark.parametrize("way", ["Background", "Foreground", "Orphan"])
async def test_deletion_in_its_three_ways(kybern_cluster: Cluster, way: Any) -> None:
    await create(kybern_cluster, Deployment, deployment(2))
    await until(kybern_cluster, lambda: complete(kybern_cluster))
    await kybern_cluster.client.delete(Deployment, "web", "default", propagation=way)
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, Deployment))
    if way == "Foreground":
        assert not all_of(kybern_cluster, ReplicaSet)
    if way == "Orphan":
        assert [rs.metadata.ownerReferences for rs in all_of(kybern_cluster, ReplicaSet)] == [None]
        assert len(running(kybern_cluster)) == 2
        return
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, Pod, "default"))


async def test_a_service_finds_the_ready_pods(kybern_cluster: Cluster) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    await create(kybern_cluster, Service, {"metadata": {"name": "web"}, "spec": spec})
    await create(kybern_cluster, Deployment, deployment(3))
    await until(kybern_cluster, lambda: complete(kybern_cluster))

    def addresses() -> list[str]:
        slices = [s for s in all_of(kybern_cluster, EndpointSlice) if s.metadata.name.startswith("web-")]
        return sorted(e.addresses[0] for s in slices for e in s.endpoints or () if e.conditions.ready)

    pods = sorted(pod.status.podIP for pod in running(kybern_cluster))
    await until(kybern_cluster, lambda: addresses() == pods)
    endpoints: Any = kybern_cluster.informers.informer(Endpoints).get("web", "default")
    assert sorted(a.ip for subset in endpoints.subsets for a in subset.addresses) == pods


async def test_at_rest_the_controllers_write_nothing(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Deployment, deployment(2))
    await until(kybern_cluster, lambda: complete(kybern_cluster))
    clock: Any = kybern_cluster.clock
    await clock.advance(30)
    web = await kybern_cluster.client.get(Deployment, "web", "default")
    rs = all_of(kybern_cluster, ReplicaSet)[0]
    await clock.advance(600)
    assert (await kybern_cluster.client.get(Deployment, "web", "default")) is web
    assert all_of(kybern_cluster, ReplicaSet)[0] is rs
