"""The pytest plugin: a whole cluster as a fixture, in the test's own process, with time the test can move.

    async def test_my_operator(kybern_cluster):
        await kybern_cluster.client.create(Pod(...))
        await kybern_cluster.clock.advance(60)

The fixtures are async and run under anyio's pytest plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kybern.clock import VirtualClock
    from kybern.cluster.cluster import Cluster
    from kybern.config import Config

__all__ = ["kybern_clock", "kybern_cluster", "kybern_config"]


@pytest.fixture
def kybern_config() -> Config:
    """The settings of `kybern_cluster`; override the fixture to change them."""
    from kybern.config import APIConfig, Config, StoreConfig

    return Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"))


@pytest.fixture
def kybern_clock() -> VirtualClock:
    """The clock of `kybern_cluster`: stands still until advanced. Override it with a SystemClock for real time."""
    from kybern.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
async def kybern_cluster(kybern_config: Config, kybern_clock: VirtualClock) -> AsyncIterator[Cluster]:
    """A running cluster with memory store and fake nodes, gone after the test.

    Fails the test when anything in this process changed an object of the shared caches, which are read-only.
    """
    from kybern.cluster.cluster import running

    async with running(kybern_config, clock=kybern_clock) as cluster:
        yield cluster
        changed = cluster.server.resources.watch_cache.mutated()
        assert not changed, f"somebody changed shared objects (change a types.copy() instead): {', '.join(changed)}"
