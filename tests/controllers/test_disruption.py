"""PodDisruptionBudgets count right, and give back what was not used."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps import Deployment
from kybern.api.core import Pod
from kybern.api.policy import PodDisruptionBudget
from kybern.api.time import format_time
from kybern.testing.world import World
from kybern_controllers_cluster.disruption import DisruptionController, StaleDisruptionController
from kybern_controllers_workloads.deployment import DeploymentController
from kybern_controllers_workloads.replicaset import ReplicaSetController
from tests.controllers.objects import least
from tests.controllers.rollouts import deployment

pytestmark = pytest.mark.anyio


def budget(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}} | spec}


def numbers(world: World) -> tuple[int, int, int, int]:
    """(expected, desired, healthy, allowed)"""
    s = world.all(PodDisruptionBudget)[0].status
    return s.expectedPods, s.desiredHealthy, s.currentHealthy, s.disruptionsAllowed


def reason(world: World) -> str:
    return world.all(PodDisruptionBudget)[0].status.conditions[0].reason


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 3}, (4, 3, 4, 1)),
        ({"minAvailable": 9}, (4, 9, 4, 0)),
        ({"minAvailable": "51%"}, (4, 3, 4, 1)),
        ({"maxUnavailable": 1}, (4, 3, 4, 1)),
        ({"maxUnavailable": "30%"}, (4, 2, 4, 2)),
        ({"maxUnavailable": 0}, (4, 4, 4, 0)),
    ],
)
async def test_the_numbers(world: World, spec: dict[str, Any], expected: tuple[int, ...]) -> None:
    await world.apply(Deployment, deployment(4))
    await world.apply(PodDisruptionBudget, budget(**spec))
    async with world.running(DeploymentController(), ReplicaSetController(), DisruptionController()):
        await world.run_pods()
        assert numbers(world) == expected
        assert reason(world) == ("SufficientPods" if expected[3] else "InsufficientPods")


async def test_a_pod_that_is_not_ready_counts_less(world: World) -> None:
    await world.apply(Deployment, deployment(3))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DeploymentController(), ReplicaSetController(), DisruptionController()):
        await world.run_pods()
        await world.make_ready(world.all(Pod)[:1], ready=False)
        await world.settle()
        assert numbers(world) == (3, 2, 2, 0)
        assert reason(world) == "InsufficientPods"


async def test_scaling_counts_at_once(world: World) -> None:
    await world.apply(Deployment, deployment(3))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DeploymentController(), ReplicaSetController(), DisruptionController()):
        await world.run_pods()
        await world.client.patch(Deployment, "web", "default", {"spec": {"replicas": 5}})
        await world.settle()
        assert numbers(world) == (5, 4, 3, 0)


async def test_an_eviction_that_did_not_happen_is_given_back(world: World) -> None:
    await world.apply(Deployment, deployment(3))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DeploymentController(), ReplicaSetController(), DisruptionController()):
        await world.run_pods()
        evicted, now = world.all(Pod)[0].metadata.name, format_time(world.clock.now())

        def evict(b: Any) -> None:
            b.status.disruptionsAllowed, b.status.disruptedPods = 0, {evicted: now}

        await world.set_status(world.all(PodDisruptionBudget)[0], evict)
        await world.settle(60)
        assert numbers(world) == (3, 2, 2, 0)
        await world.settle(65)
        assert numbers(world) == (3, 2, 3, 1)
        assert world.all(PodDisruptionBudget)[0].status.disruptedPods is None
        assert any("to be deleted but it wasn't" in event for event in world.events())


async def test_pods_without_controller_are_told(world: World) -> None:
    await world.apply(Pod, least(Pod, "p", labels={"app": "web"}))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DisruptionController()):
        await world.settle()
        assert any("Warning UnmanagedPods" in event for event in world.events())
        assert numbers(world)[3] == 0


async def test_a_controller_without_scale_allows_nothing(world: World) -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    await world.apply(Pod, least(Pod, "p", labels={"app": "web"}, ownerReferences=[owner]))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DisruptionController()):
        await world.settle()
        assert reason(world) == "SyncFailed"
        assert any("jobs.batch does not implement the scale subresource" in event for event in world.events())


async def test_a_spared_pod_is_marked_no_longer(world: World) -> None:
    from kybern.api.core import PodCondition

    pod = await world.apply(Pod, least(Pod, "p"))
    mark = PodCondition(type="DisruptionTarget", status="True", lastTransitionTime=format_time(world.clock.now()))
    await world.set_status(pod, lambda p: setattr(p.status, "conditions", [mark]))
    async with world.running(StaleDisruptionController()):
        await world.settle(100)
        assert world.all(Pod)[0].status.conditions[0].status == "True"
        await world.settle(30)
        assert world.all(Pod)[0].status.conditions[0].status == "False"


async def test_a_controller_that_is_lost_allows_nothing(world: World) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "u", "controller": True}
    await world.apply(Pod, least(Pod, "p", labels={"app": "web"}, ownerReferences=[owner]))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DisruptionController()):
        await world.settle()
        assert reason(world) == "SyncFailed"
        (kept,) = world.all(PodDisruptionBudget)
        assert kept.status.conditions[0].message == 'found no controllers for pod "p"'
        assert kept.status.observedGeneration is None


async def test_a_replica_set_whose_deployment_is_lost_counts_by_itself(world: World) -> None:
    await world.apply(Deployment, deployment(3))
    await world.apply(PodDisruptionBudget, budget(maxUnavailable=1))
    async with world.running(DeploymentController(), ReplicaSetController(), DisruptionController()):
        await world.run_pods()
        await world.client.remove(Deployment, "web", "default")
        await world.make_ready(world.all(Pod)[:1], ready=False)
        await world.settle()
        assert numbers(world) == (3, 2, 2, 0)


async def test_a_kubelet_that_means_to_end_a_pod_may_take_its_time(world: World) -> None:
    from kybern.api.core import PodCondition

    now = format_time(world.clock.now())
    pod = await world.apply(Pod, least(Pod, "p"))
    mark = PodCondition(type="DisruptionTarget", status="True", reason="TerminationByKubelet", lastTransitionTime=now)
    await world.set_status(pod, lambda p: setattr(p.status, "conditions", [mark]))
    async with world.running(StaleDisruptionController()):
        await world.settle(300)
        assert world.all(Pod)[0].status.conditions[0].status == "True"
