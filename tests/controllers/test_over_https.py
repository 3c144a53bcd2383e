"""The same controllers, outside the server's process: over HTTPS, with leader election."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from kybern.api import types
from kybern.api.apps import Deployment
from kybern.api.coordination import Lease
from kybern.api.core import Namespace
from kybern.api.meta import ObjectMeta
from kybern.client.kubeconfig import Connection, KubeconfigError
from kybern.clock import SystemClock
from kybern.cluster import kubeconfig
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, PluginsConfig, StoreConfig
from kybern.reconcile import operator
from kybern_controllers_workloads.deployment import DeploymentController
from kybern_controllers_workloads.replicaset import ReplicaSetController
from tests.controllers.rollouts import deployment

pytestmark = pytest.mark.anyio


@pytest.fixture
def kybern_config() -> Config:
    """A cluster without the workload controllers."""
    return Config(
        name="test",
        api=APIConfig(port=0),
        store=StoreConfig(driver="memory"),
        plugins=PluginsConfig(disable=["controllers_workloads"]),
    )


@pytest.fixture
def kybern_clock() -> SystemClock:
    """Real time: sockets do not know any other."""
    return SystemClock()


def connection(cluster: Cluster) -> Connection:
    pki = cluster.pki
    return Connection(cluster.url, ca=pki.ca_certificate, certificate=pki.admin.certificate, key=pki.admin.key)


async def manager(cluster: Cluster, identity: str) -> None:
    """A controller manager in a process of its own (almost)."""
    controllers = DeploymentController(), ReplicaSetController()
    where = connection(cluster)
    await operator.run(*controllers, connection=where, lease="workloads", lease_namespace="ops", identity=identity)


async def leader(cluster: Cluster) -> str:
    lease: Any = await cluster.client.get(Lease, "workloads", "ops")
    return str(lease.spec.holderIdentity)


async def create_deployment(cluster: Cluster) -> None:
    data: dict[str, Any] = deployment(3)
    data["metadata"]["namespace"] = "default"
    await cluster.client.create(types.from_plain(Deployment, data))


async def until_available(cluster: Cluster, replicas: int) -> None:
    with anyio.fail_after(30):
        while True:
            found = await cluster.client.get(Deployment, "web", "default")
            if (found.status.availableReplicas or 0) == replicas and found.status.updatedReplicas == replicas:
                return
            await anyio.sleep(0.05)


async def test_a_deployment_rolls_out_and_a_second_process_takes_over(kybern_cluster: Cluster) -> None:
    await kybern_cluster.client.create(Namespace(metadata=ObjectMeta(name="ops")))
    await create_deployment(kybern_cluster)
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as one:
            one.start_soon(manager, kybern_cluster, "first")
            await until_available(kybern_cluster, 3)
            assert await leader(kybern_cluster) == "first"
            tasks.start_soon(manager, kybern_cluster, "second")
            await anyio.sleep(0.05)
            one.cancel_scope.cancel()
        await kybern_cluster.client.patch(Deployment, "web", "default", {"spec": {"replicas": 5}})
        await until_available(kybern_cluster, 5)
        assert await leader(kybern_cluster) == "second"
        tasks.cancel_scope.cancel()


async def test_the_kubeconfig_says_where_unless_told(
    kybern_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = connection(kybern_cluster)
    file = kubeconfig.content("test", here.server, here.ca, here.certificate, here.key)
    kubeconfig.write(tmp_path / "config", file)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    await create_deployment(kybern_cluster)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(operator.run, DeploymentController(), ReplicaSetController())
        await until_available(kybern_cluster, 3)
        tasks.cancel_scope.cancel()


async def test_nothing_says_where_to_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(KubeconfigError, match="cannot read the kubeconfig"):
        await operator.run(DeploymentController())
