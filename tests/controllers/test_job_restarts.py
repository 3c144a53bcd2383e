"""The Job and CronJob controllers die at every one of their writes, in a whole cluster, and are started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from kybern.api import types
from kybern.api.batch import CronJob, Job
from kybern.api.core import Pod
from kybern.clock import settle
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, ControllersConfig, StoreConfig
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern_controllers_workloads.cronjob import CronJobController
from kybern_controllers_workloads.job import JobController
from kybern_controllers_workloads.job_orphans import JobOrphansController
from tests.controllers.chaos import Killed
from tests.controllers.test_job_cluster import job

pytestmark = pytest.mark.anyio

OURS = ["job", "job-orphans", "cronjob"]
WRITES = ("create", "update", "update_status", "patch", "delete")


@pytest.fixture
def kybern_config() -> Config:
    """The cluster leaves these controllers to the test."""
    store, off = StoreConfig(driver="memory"), ControllersConfig(disable=OURS)
    return Config(name="test", api=APIConfig(port=0), store=store, controllers=off)


class MortalClient:
    """Ends its user's life at a given write: before it, or after it and before the answer."""

    def __init__(self, client: Any, at: int, after: bool) -> None:
        self._client, self._left, self._after = client, at, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._mortal(method) if name in WRITES else method

    def _mortal(self, method: Any) -> Any:
        async def write(obj: Any, *args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._after:
                raise Killed
            answer = await method(obj, *args, **options)
            if self._left < 0:
                raise Killed
            return answer

        return write


@asynccontextmanager
async def controllers(cluster: Cluster, client: Any) -> AsyncIterator[None]:
    informers, events = Informers(client, cluster.clock), Events(cluster.client, cluster.clock)
    engine = Engine(client, cluster.clock, informers, events)
    for controller in (JobController(), JobOrphansController(), CronJobController()):
        engine.add(controller)
    async with anyio.create_task_group() as tasks:
        for run in (informers.run, events.run, engine.run):
            tasks.start_soon(run)
        await settle()
        yield
        tasks.cancel_scope.cancel()


async def live_and_die(cluster: Cluster, at: int, after: bool, seconds: float) -> bool:
    """Whether they died within that time."""
    clock: Any = cluster.clock
    died = False
    try:
        async with controllers(cluster, MortalClient(cluster.client, at, after)):
            await clock.advance(seconds)
    except* Killed:
        died = True
    return died


def ended(cluster: Cluster, name: str) -> str:
    found: Any = cluster.informers.informer(Job).get(name, "default")
    return next((c.type for c in found.status.conditions or () if c.type in ("Complete", "Failed")), "")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
async def test_a_job_is_right_wherever_its_controller_died(kybern_cluster: Cluster, after: bool, mode: str) -> None:
    clock: Any = kybern_cluster.clock
    for step in range(14):
        name = f"work-{step}"
        data = job("sleep 5", name=name, completions=3, parallelism=2, completionMode=mode)
        await kybern_cluster.client.create(types.from_plain(Job, data))
        await live_and_die(kybern_cluster, step, after, 60)
        await clock.advance(20)
        async with controllers(kybern_cluster, kybern_cluster.client):
            await clock.advance_until(lambda name=name: bool(ended(kybern_cluster, name)), 300)
        found: Any = kybern_cluster.informers.informer(Job).get(name, "default")
        pods = [p for p in kybern_cluster.informers.informer(Pod).list() if p.metadata.labels["job-name"] == name]
        assert (ended(kybern_cluster, name), found.status.succeeded, found.status.failed) == ("Complete", 3, None)
        assert len(pods) == 3 and not any(pod.metadata.finalizers for pod in pods)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_suspension_is_no_failure_wherever_its_controller_died(kybern_cluster: Cluster, after: bool) -> None:
    clock: Any = kybern_cluster.clock
    for step in range(6):
        name = f"work-{step}"
        data = job("sleep 50", name=name, completions=2, parallelism=2, backoffLimit=0)
        await kybern_cluster.client.create(types.from_plain(Job, data))
        async with controllers(kybern_cluster, kybern_cluster.client):
            await clock.advance(5)
        await kybern_cluster.client.patch(Job, name, "default", {"spec": {"suspend": True}})
        await live_and_die(kybern_cluster, step, after, 40)
        async with controllers(kybern_cluster, kybern_cluster.client):
            await clock.advance(45)
            await kybern_cluster.client.patch(Job, name, "default", {"spec": {"suspend": False}})
            await clock.advance_until(lambda name=name: bool(ended(kybern_cluster, name)), 300)
        found: Any = kybern_cluster.informers.informer(Job).get(name, "default")
        assert (ended(kybern_cluster, name), found.status.succeeded, found.status.failed) == ("Complete", 2, None)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_cronjob_starts_each_run_once_wherever_its_controller_died(
    kybern_cluster: Cluster, after: bool
) -> None:
    spec = {
        "schedule": "*/10 * * * *",
        "jobTemplate": {"spec": job("exit 0")["spec"]},
        "successfulJobsHistoryLimit": 100,
    }
    tick = {"metadata": {"name": "tick", "namespace": "default"}, "spec": spec}
    await kybern_cluster.client.create(types.from_plain(CronJob, tick))
    made: dict[str, str] = {}
    deaths = 0
    for step in range(10):
        deaths += await live_and_die(kybern_cluster, step, after, 600)
        async with controllers(kybern_cluster, kybern_cluster.client):
            await kybern_cluster.clock.advance(60)  # type: ignore[attr-defined]  # a virtual one
        for found in kybern_cluster.informers.informer(Job).list():
            assert made.setdefault(found.metadata.name, found.metadata.uid) == found.metadata.uid
    assert deaths > 5
    newest: Any = await kybern_cluster.client.get(CronJob, "tick", "default")
    assert not newest.status.active
    assert len(made) == (kybern_cluster.clock.now() - 1_767_225_600) // 600
