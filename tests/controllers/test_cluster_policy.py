"""Quotas, volumes and the like in a whole cluster: API server, admission, scheduler, fake nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import StatefulSet
from kybern.api.core import ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, ResourceQuota
from kybern.api.errors import StatusError
from kybern.cluster.cluster import Cluster
from tests.controllers.test_cluster import all_of, create, until

pytestmark = pytest.mark.anyio


def claim_spec(size: str = "1Gi") -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "nginx"}]} | spec}


def running(cluster: Cluster, *names: str) -> bool:
    found = {p.metadata.name: p.status.phase for p in all_of(cluster, Pod, "default")}
    return all(found.get(name) == "Running" for name in names)


async def test_a_stateful_set_with_claim_templates_comes_up_and_its_volumes_stay(kybern_cluster: Cluster) -> None:
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {
            "containers": [{"name": "c", "image": "db", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
        },
    }
    spec = {
        "replicas": 2,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim_spec()}],
    }
    await create(kybern_cluster, StatefulSet, {"metadata": {"name": "db"}, "spec": spec})
    await until(kybern_cluster, lambda: running(kybern_cluster, "db-0", "db-1"))
    claims = {c.metadata.name: c for c in all_of(kybern_cluster, PersistentVolumeClaim)}
    assert {name: c.status.phase for name, c in claims.items()} == {"data-db-0": "Bound", "data-db-1": "Bound"}
    assert {c.spec.storageClassName for c in claims.values()} == {"standard"}
    await kybern_cluster.client.delete(PersistentVolumeClaim, "data-db-0", "default")
    await kybern_cluster.client.delete(StatefulSet, "db", "default", propagation="Foreground")
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, Pod, "default"))
    await until(kybern_cluster, lambda: len(all_of(kybern_cluster, PersistentVolume)) == 1)
    assert [c.metadata.name for c in all_of(kybern_cluster, PersistentVolumeClaim)] == ["data-db-1"]


async def test_an_ephemeral_volume_comes_and_goes_with_its_pod(kybern_cluster: Cluster) -> None:
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}}]
    await create(kybern_cluster, Pod, pod("p", volumes=volumes))
    await until(kybern_cluster, lambda: running(kybern_cluster, "p"))
    await kybern_cluster.client.delete(Pod, "p", "default")
    await until(
        kybern_cluster,
        lambda: not all_of(kybern_cluster, PersistentVolumeClaim) and not all_of(kybern_cluster, PersistentVolume),
    )


def used(cluster: Cluster) -> dict[str, str]:
    found = all_of(cluster, ResourceQuota, "default")
    return (found[0].status.used or {}) if found else {}


async def test_concurrent_creates_never_exceed_a_quota(kybern_cluster: Cluster) -> None:
    hard = {"configmaps": "8"}
    await create(kybern_cluster, ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await until(kybern_cluster, lambda: "configmaps" in used(kybern_cluster))
    before = int(used(kybern_cluster)["configmaps"])

    async def one(i: int) -> str:
        try:
            await create(kybern_cluster, ConfigMap, {"metadata": {"name": f"c{i}"}})
        except StatusError as error:
            return error.message
        return ""

    for turn in range(3):
        answers = await asyncio.gather(*(one(100 * turn + i) for i in range(20)))
        there = [c for c in all_of(kybern_cluster, ConfigMap, "default") if c.metadata.name.startswith("c")]
        assert answers.count("") == (8 - before if turn == 0 else 2)
        assert all("exceeded quota: q, requested: configmaps=1" in answer for answer in answers if answer)
        assert len(all_of(kybern_cluster, ConfigMap, "default")) <= 8
        # A quota with room again: two go, and exactly two more fit, whatever the recount does meanwhile.
        for gone in there[:2]:
            await kybern_cluster.client.delete(ConfigMap, gone.metadata.name, "default")
        await until(kybern_cluster, lambda: used(kybern_cluster) == {"configmaps": "6"})


async def test_a_refused_object_is_charged_only_for_a_moment(kybern_cluster: Cluster) -> None:
    hard = {"pods": "5", "requests.cpu": "2"}
    await create(kybern_cluster, ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"pods": "0", "requests.cpu": "0"})
    wanting = pod("p")
    wanting["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    await create(kybern_cluster, Pod, types.to_plain(types.from_plain(Pod, wanting)))
    with pytest.raises(StatusError, match="already exists"):
        await create(kybern_cluster, Pod, types.to_plain(types.from_plain(Pod, wanting)))
    with pytest.raises(StatusError, match=r"must specify requests\.cpu for: c"):
        await create(kybern_cluster, Pod, pod("greedy"))
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"pods": "1", "requests.cpu": "500m"})
    await kybern_cluster.client.delete(Pod, "p", "default")
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"pods": "0", "requests.cpu": "0"})
