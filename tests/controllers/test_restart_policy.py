"""A cluster that is stopped in the middle goes on where it was: quotas, claims and devices.

In real time: the store on disk works in a thread, for which a virtual clock does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import StatefulSet
from kybern.api.core import ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota
from kybern.api.errors import StatusError
from kybern.api.resource import ResourceClaim, ResourceClaimTemplate
from kybern.cluster.cluster import Cluster, running
from kybern.config import APIConfig, Config, StoreConfig
from tests.controllers.test_cluster import all_of, create
from tests.controllers.test_cluster_policy import WANTS_ONE, claim_spec, offer_devices, used, wanting_device

pytestmark = pytest.mark.anyio

CONFIG = Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="sqlite"))


async def until(done: Callable[[], bool], limit: float = 60) -> None:
    end = time.monotonic() + limit
    while not done():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.02)


def stateful() -> dict[str, Any]:
    mounts = [{"name": "data", "mountPath": "/data"}]
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "c", "image": "db", "volumeMounts": mounts}]},
    }
    spec = {
        "replicas": 3,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim_spec()}],
    }
    return {"metadata": {"name": "db"}, "spec": spec}


def up(cluster: Cluster) -> set[str]:
    return {p.metadata.name for p in all_of(cluster, Pod, "default") if p.status.phase == "Running"}


def devices(cluster: Cluster) -> list[str]:
    allocations = [c.status.allocation for c in all_of(cluster, ResourceClaim)]
    return sorted(r.device for a in allocations if a is not None for r in a.devices.results)


async def test_stopped_while_volumes_are_bound_devices_given_and_a_quota_charged(tmp_path: Path) -> None:
    async with running(CONFIG, state_dir=tmp_path / "state") as cluster:
        hard = {"count/configmaps": "4"}
        await create(cluster, ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        await until(lambda: used(cluster) == {"count/configmaps": "1"})
        await offer_devices(cluster, "a", "b")
        await create(cluster, ResourceClaimTemplate, {"metadata": {"name": "t"}, "spec": {"spec": WANTS_ONE}})
        await create(cluster, Pod, wanting_device("g0", resourceClaimTemplateName="t"))
        await until(lambda: "g0" in up(cluster))
        await create(cluster, StatefulSet, stateful())
        await create(cluster, Pod, wanting_device("g1", resourceClaimTemplateName="t"))
        await create(cluster, ConfigMap, {"metadata": {"name": "one"}})
    async with running(CONFIG, state_dir=tmp_path / "state") as cluster:
        await until(lambda: up(cluster) == {"db-0", "db-1", "db-2", "g0", "g1"})
        assert [c.status.phase for c in all_of(cluster, PersistentVolumeClaim)] == ["Bound"] * 3
        assert devices(cluster) == ["a", "b"]
        for name in ("two", "three"):
            await create(cluster, ConfigMap, {"metadata": {"name": name}})
        with pytest.raises(StatusError, match="exceeded quota: q"):
            await create(cluster, ConfigMap, {"metadata": {"name": "four"}})
        await until(lambda: used(cluster) == {"count/configmaps": "4"})


async def test_stopped_at_every_moment_of_a_rollout_with_claims(tmp_path: Path) -> None:
    """Four lives of a tenth of a second each, then one that is long enough."""
    async with running(CONFIG, state_dir=tmp_path / "state") as cluster:
        await create(cluster, StatefulSet, stateful())
    for _ in range(4):
        async with running(CONFIG, state_dir=tmp_path / "state"):
            await asyncio.sleep(0.1)
    async with running(CONFIG, state_dir=tmp_path / "state") as cluster:
        await until(lambda: up(cluster) == {"db-0", "db-1", "db-2"})
        claims = {c.metadata.name: c for c in all_of(cluster, PersistentVolumeClaim)}
        assert sorted(claims) == ["data-db-0", "data-db-1", "data-db-2"]
        assert len({c.spec.volumeName for c in claims.values()}) == 3
        kinds = types.struct("", "v1", "PersistentVolume")
        assert sorted(v.metadata.name for v in all_of(cluster, kinds)) == sorted(
            c.spec.volumeName for c in claims.values()
        )
