"""The same controllers, outside the server's process: over HTTPS, with leader election."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from kybern.api import types
from kybern.api.apps import Deployment
from kybern.client.http import HTTPClient
from kybern.client.kubeconfig import Connection
from kybern.clock import SystemClock
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, PluginsConfig, StoreConfig
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.leader import LeaderElection
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


class Remote:
    """A controller manager in a process of its own (almost)."""

    def __init__(self, cluster: Cluster, identity: str) -> None:
        pki = cluster.pki
        connection = Connection(
            cluster.url, ca=pki.ca_certificate, certificate=pki.admin.certificate, key=pki.admin.key
        )
        self.clock = SystemClock()
        self.client = HTTPClient(connection, self.clock)
        self.election = LeaderElection(self.client, self.clock, "workloads", identity)

    async def run(self) -> None:
        try:
            await self.election.run(self.lead)
        finally:
            with anyio.CancelScope(shield=True):
                await self.client.close()

    async def lead(self) -> None:
        informers = Informers(self.client, self.clock)
        events = Events(self.client, self.clock)
        engine = Engine(self.client, self.clock, informers, events)
        for controller in (DeploymentController(), ReplicaSetController()):
            engine.add(controller)
        async with anyio.create_task_group() as tasks:
            for run in (informers.run, events.run, engine.run):
                tasks.start_soon(run)


async def until_available(cluster: Cluster, replicas: int) -> None:
    with anyio.fail_after(30):
        while True:
            found = await cluster.client.get(Deployment, "web", "default")
            if (found.status.availableReplicas or 0) == replicas and found.status.updatedReplicas == replicas:
                return
            await anyio.sleep(0.05)


async def test_a_deployment_rolls_out_and_a_second_process_takes_over(kybern_cluster: Cluster) -> None:
    data: dict[str, Any] = deployment(3)
    data["metadata"]["namespace"] = "default"
    await kybern_cluster.client.create(types.from_plain(Deployment, data))
    first, second = Remote(kybern_cluster, "first"), Remote(kybern_cluster, "second")
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as one:
            one.start_soon(first.run)
            await until_available(kybern_cluster, 3)
            assert first.election.is_leader
            tasks.start_soon(second.run)
            await anyio.sleep(0.05)
            one.cancel_scope.cancel()
        await kybern_cluster.client.patch(Deployment, "web", "default", {"spec": {"replicas": 5}})
        await until_available(kybern_cluster, 5)
        assert second.election.is_leader
        tasks.cancel_scope.cancel()
