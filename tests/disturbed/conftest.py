"""A cluster in this process for each module of disturbances, and kubectl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest

from kybern.api import registry
from kybern.client.interface import Client
from kybern.clock import PacedClock
from kybern.cluster.cluster import Cluster, running
from kybern.cluster.start import Start
from kybern.config import APIConfig, Config, ControllersConfig, NodesConfig, StoreConfig
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller
from tests.disturbed import kubectl as kubectls
from tests.disturbed.mortal import Controllers, work

BEGIN = 1_798_761_600.0
"""2027-01-01T00:00:00Z."""


async def _no_usage(pods: Any = None) -> Sequence[Any]:
    return ()


@attrs.frozen
class Bench:
    """A cluster of three nodes whose controllers the test runs."""

    cluster: Cluster
    kubectl: kubectls.Kubectl

    def controllers(self, names: Sequence[str], *, but: bool = False) -> Controllers:
        """Makes the controllers of these names, or all `but` these."""

        def make(client: Client, informers: Informers, events: Events) -> list[Controller]:
            c = self.cluster
            known = registry.Registry(registry.builtin())
            start = Start(
                c.config, c.clock, c.state.root, c.pki, client, informers, events, known, c.options, _no_usage
            )
            made = c.plugins.collect("kybern_controllers", of=Controller, start=start)
            return [controller for controller in made if (controller.name in names) != but]

        return make

    @asynccontextmanager
    async def others(self, names: Sequence[str] = ()) -> AsyncIterator[None]:
        """All controllers but these work meanwhile, on the whole cluster."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, self.cluster.client, self.cluster.clock, self.controllers(names, but=True))
            yield
            tasks.cancel_scope.cancel()


@pytest.fixture(scope="module")
async def whole(bench: Bench) -> AsyncIterator[Bench]:
    """The cluster with all its controllers."""
    async with bench.others():
        yield bench


@pytest.fixture
async def kubectl(whole: Bench, request: pytest.FixtureRequest) -> AsyncIterator[kubectls.Kubectl]:
    """kubectl in a fresh namespace of a whole cluster; what it leaves is taken away."""
    name = "t" + format(abs(hash(request.node.nodeid)) % 10**10, "010d")
    await whole.kubectl("create", "namespace", name)
    yield whole.kubectl.within(name)
    await whole.kubectl("delete", "namespace", name, "--wait=false")
    await whole.kubectl.advance(60)


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    config = Config(
        name="disturbed",
        api=APIConfig(port=0),
        store=StoreConfig(driver="memory"),
        nodes=NodesConfig(count=3, pods=10_000, cpu="1000"),
        controllers=ControllersConfig(enabled=False),
    )
    async with running(config, clock=PacedClock(BEGIN, 0)) as cluster:
        yield Bench(cluster, kubectls.of(cluster, tmp_path_factory.mktemp("home")))
