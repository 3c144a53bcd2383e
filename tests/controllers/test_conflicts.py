"""A write that is refused with a conflict is tried again, even if no event follows that would bring another look."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps import ReplicaSet, StatefulSet
from kybern.api.batch import Job
from kybern.api.core import Pod
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_workloads.job import JobController
from kybern_controllers_workloads.replicaset import ReplicaSetController
from kybern_controllers_workloads.statefulset import StatefulSetController
from tests.controllers.jobs import active, job
from tests.controllers.objects import SELECTOR, TEMPLATE

pytestmark = pytest.mark.anyio


def refuse(world: World, verb: str, times: int = 3) -> list[str]:
    """The next writes of pods by this verb conflict; returns those that did."""
    refused: list[str] = []

    def conflict(done: str, kind: type[Any], namespace: str, name: str) -> None:
        if done == verb and kind is Pod and len(refused) < times:
            refused.append(name)
            raise StatusError.conflict("pods", "", name)

    world.client.intercept = conflict
    return refused


@pytest.mark.parametrize("controller", [ReplicaSetController, StatefulSetController])
async def test_a_pod_is_deleted_though_its_deletion_conflicted(world: World, controller: Any) -> None:
    kind: Any = ReplicaSet if controller is ReplicaSetController else StatefulSet
    spec = {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}
    await world.apply(kind, {"metadata": {"name": "web"}, "spec": spec})
    async with world.running(controller()):
        await world.run_pods()
        assert len(world.all(Pod)) == 2
        refused = refuse(world, "delete")
        await world.client.patch(kind, "web", "default", {"spec": {"replicas": 1}})
        await world.settle(10)
        assert len(refused) == 3
        assert len(world.all(Pod)) == 1
        assert not any("FailedDelete" in event for event in world.events())


@pytest.mark.parametrize("verb", ["patch", "delete"])
async def test_a_jobs_pods_are_stopped_though_stopping_them_conflicted(world: World, verb: str) -> None:
    await world.apply(Job, job(2, 2))
    async with world.running(JobController()):
        await world.settle(1)
        assert len(active(world)) == 2
        refused = refuse(world, verb)
        await world.client.patch(Job, "work", "default", {"spec": {"suspend": True}})
        await world.settle(10)
        assert len(refused) == 3
        assert active(world) == []
