"""ReplicaSet and ReplicationController: these objects and events, these actions."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import ReplicaSet
from kybern.api.core import Pod, ReplicationController
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_workloads.replicaset import ReplicaSetController
from kybern_controllers_workloads.replicationcontroller import ReplicationControllerController
from tests.controllers.chaos import live_until_killed

pytestmark = pytest.mark.anyio


def replica_set(replicas: int = 3, name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "nginx"}]},
            },
            **spec,
        },
    }


def plain_pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "nginx"}]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


async def scale(world: World, replicas: int, kind: type[Any] = ReplicaSet) -> None:
    await world.client.patch(kind, "web", "default", {"spec": {"replicas": replicas}})
    await world.settle(0.2)


async def test_creates_the_pods_it_should_have(world: World) -> None:
    await world.apply(ReplicaSet, replica_set(3))
    async with world.running(ReplicaSetController()):
        await world.settle(1)
        pods = world.all(Pod)
        assert [p.metadata.labels for p in pods] == [{"app": "web"}] * 3
        assert {p.metadata.ownerReferences[0].name for p in pods} == {"web"}
        assert all(p.metadata.ownerReferences[0].controller for p in pods)
        assert all(p.metadata.name.startswith("web-") for p in pods)
        assert world.all(ReplicaSet)[0].status.replicas == 3
        assert sorted(world.events()) == sorted(f"Normal SuccessfulCreate Created pod: {p.metadata.name}" for p in pods)


async def test_replaces_a_pod_that_is_deleted(world: World) -> None:
    await world.apply(ReplicaSet, replica_set(2))
    async with world.running(ReplicaSetController()):
        await world.settle()
        gone = world.all(Pod)[0].metadata.name
        await world.client.delete(Pod, gone, "default")
        await world.settle()
        names = [p.metadata.name for p in world.all(Pod)]
        assert len(names) == 2 and gone not in names


async def test_counts_ready_and_available_pods(world: World) -> None:
    await world.apply(ReplicaSet, replica_set(2, minReadySeconds=30))
    async with world.running(ReplicaSetController()):
        await world.settle()
        await world.make_ready()
        await world.settle()
        status = world.all(ReplicaSet)[0].status
        assert (status.readyReplicas, status.availableReplicas) == (2, None)
        await world.settle(31)
        assert world.all(ReplicaSet)[0].status.availableReplicas == 2


async def test_scales_down_the_pods_that_are_worth_least(world: World) -> None:
    await world.apply(ReplicaSet, replica_set(3))
    async with world.running(ReplicaSetController()):
        await world.settle()
        pods = world.all(Pod)
        await world.make_ready(pods[:2])
        world.took()
        await scale(world, 2)
        assert f"delete Pod default/{pods[2].metadata.name}" in world.took()
        patch = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}}
        await world.client.patch(Pod, pods[1].metadata.name, "default", patch)
        await world.settle()
        await scale(world, 1)
        assert [p.metadata.name for p in world.all(Pod)] == [pods[0].metadata.name]


async def test_a_finished_pod_is_replaced_and_left_alone(world: World) -> None:
    await world.apply(ReplicaSet, replica_set(1))
    async with world.running(ReplicaSetController()):
        await world.settle()
        first = world.all(Pod)[0]
        await world.set_status(first, lambda pod: setattr(pod.status, "phase", "Failed"))
        await world.settle()
        assert len(world.all(Pod)) == 2
        assert world.all(ReplicaSet)[0].status.replicas == 1


async def test_adopts_matching_pods_and_releases_those_that_change_their_labels(world: World) -> None:
    await world.apply(Pod, plain_pod("mine", {"app": "web"}))
    await world.apply(ReplicaSet, replica_set(2))
    async with world.running(ReplicaSetController()):
        await world.settle()
        mine = await world.client.get(Pod, "mine", "default")
        assert mine.metadata.ownerReferences[0].name == "web"
        assert len(world.all(Pod)) == 2
        await world.client.patch(Pod, "mine", "default", {"metadata": {"labels": {"app": "other"}}})
        await world.settle()
        mine = await world.client.get(Pod, "mine", "default")
        assert not mine.metadata.ownerReferences
        assert len(world.all(Pod)) == 3


async def test_does_not_adopt_once_it_is_deleted(world: World) -> None:
    data = replica_set(1)
    data["metadata"]["finalizers"] = ["example.com/hold"]
    await world.apply(ReplicaSet, data)
    async with world.running(ReplicaSetController()):
        await world.settle()
        await world.client.delete(ReplicaSet, "web", "default")
        await world.settle()
        await world.apply(Pod, plain_pod("free", {"app": "web"}))
        await world.settle(1)
        free = await world.client.get(Pod, "free", "default")
        assert not free.metadata.ownerReferences


async def test_refused_creation_is_told_and_tried_again(world: World) -> None:
    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "create" and kind is Pod:
            raise StatusError.forbidden("pods", "", name, "exceeded quota: q")

    world.client.intercept = refuse
    await world.apply(ReplicaSet, replica_set(2))
    async with world.running(ReplicaSetController()):
        await world.settle()
        condition = world.all(ReplicaSet)[0].status.conditions[0]
        assert (condition.type, condition.reason, condition.status) == ("ReplicaFailure", "FailedCreate", "True")
        assert "exceeded quota" in condition.message
        assert any(e.startswith("Warning FailedCreate Error creating: pods") for e in world.events())
        world.client.intercept = None
        await world.settle(60)
        assert len(world.all(Pod)) == 2
        assert not world.all(ReplicaSet)[0].status.conditions


async def test_a_namespace_that_ends_is_no_failure(world: World) -> None:
    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "create" and kind is Pod:
            error = StatusError.forbidden("pods", "", name, "unable to create new content: it is being terminated")
            error.details = {"causes": [{"reason": "NamespaceTerminating"}]}
            raise error

    world.client.intercept = refuse
    await world.apply(ReplicaSet, replica_set(2))
    async with world.running(ReplicaSetController()) as engine:
        await world.settle(5)
        assert world.events() == []
        assert engine.controllers["replicaset"].errors == 0


async def test_a_burst_is_at_most_five_hundred(world: World) -> None:
    await world.apply(ReplicaSet, replica_set(1200))
    async with world.running(ReplicaSetController()):
        await world.settle(5)
        assert len(world.all(Pod)) == 1200
        await world.make_ready()
        await world.settle(5)
        assert world.all(ReplicaSet)[0].status.readyReplicas == 1200
        await scale(world, 0)
        await world.settle(5)
        assert world.all(Pod) == []


@pytest.mark.parametrize("verb", ["create", "delete", "update-status"])
async def test_killed_at_any_step_and_restarted_it_converges(world: World, verb: str) -> None:
    """The write happens, the controller dies before it hears of it."""

    await world.apply(ReplicaSet, replica_set(5))
    for step in range(8):
        await scale(world, 5 if step % 2 else 2)
        await live_until_killed(
            world,
            ReplicaSetController(),
            counts=lambda done, kind: done == verb and kind != "Event",
            after=step // 2,
            seconds=400,
        )
        async with world.running(ReplicaSetController()):
            await world.settle(400)
            assert len(world.all(Pod)) == (5 if step % 2 else 2)
            assert world.all(ReplicaSet)[0].status.replicas == len(world.all(Pod))


async def test_replication_controller_does_the_same(world: World) -> None:
    data = replica_set(2)
    data["spec"]["selector"] = {"app": "web"}
    await world.apply(ReplicationController, data)
    async with world.running(ReplicationControllerController()):
        await world.settle()
        pods = world.all(Pod)
        assert [p.metadata.ownerReferences[0].kind for p in pods] == ["ReplicationController"] * 2
        await scale(world, 0, ReplicationController)
        assert world.all(Pod) == []
        assert types.to_plain(world.all(ReplicationController)[0])["status"]["replicas"] == 0
