"""Deployment: these objects and events, these actions."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps import Deployment, ReplicaSet
from kybern.api.core import Pod
from kybern.api.errors import StatusError
from kybern.testing.world import World
from tests.controllers.chaos import live_until_killed
from tests.controllers.rollouts import controllers, deployment, images, patch_spec, set_image

pytestmark = pytest.mark.anyio


def conditions(world: World) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in world.all(Deployment)[0].status.conditions or ()}


def sizes(world: World) -> dict[str, int]:
    return {rs.spec.template.spec.containers[0].image: rs.spec.replicas for rs in world.all(ReplicaSet)}


async def test_a_new_deployment_gets_its_replica_set_and_says_how_it_goes(world: World) -> None:
    await world.apply(Deployment, deployment(3))
    async with world.running(*controllers()):
        await world.settle(1)
        rs = world.all(ReplicaSet)[0]
        hashed = rs.metadata.labels["pod-template-hash"]
        assert rs.metadata.name == f"web-{hashed}"
        assert rs.spec.selector.matchLabels == {"app": "web", "pod-template-hash": hashed}
        assert rs.metadata.annotations == {
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
            "deployment.kubernetes.io/revision": "1",
        }
        assert world.all(Deployment)[0].metadata.annotations == {"deployment.kubernetes.io/revision": "1"}
        assert conditions(world) == {
            "Available": ("False", "MinimumReplicasUnavailable"),
            "Progressing": ("True", "ReplicaSetUpdated"),
        }
        await world.run_pods()
        status = world.all(Deployment)[0].status
        assert (status.replicas, status.updatedReplicas, status.readyReplicas, status.availableReplicas) == (3, 3, 3, 3)
        assert status.unavailableReplicas is None
        assert status.observedGeneration == 1
        assert conditions(world) == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }
        assert f"Normal ScalingReplicaSet Scaled up replica set {rs.metadata.name} from 0 to 3" in world.events()


async def test_a_new_image_rolls_out_step_by_step(world: World) -> None:
    await world.apply(Deployment, deployment(4))
    async with world.running(*controllers()):
        await world.run_pods()
        await set_image(world, "nginx:2")
        await world.settle(1)
        # 25% of 4: one more than desired, one fewer available.
        assert sizes(world) == {"nginx:1": 3, "nginx:2": 2}
        await world.run_pods()
        assert sizes(world) == {"nginx:1": 0, "nginx:2": 4}
        assert images(world) == ["nginx:2"] * 4
        assert world.all(Deployment)[0].metadata.annotations["deployment.kubernetes.io/revision"] == "2"
        assert conditions(world)["Progressing"] == ("True", "NewReplicaSetAvailable")


async def test_undo_uses_the_old_replica_set_under_a_new_number(world: World) -> None:
    await world.apply(Deployment, deployment(2))
    async with world.running(*controllers()):
        await world.run_pods()
        await set_image(world, "nginx:2")
        await world.run_pods()
        await set_image(world, "nginx:1")
        await world.run_pods()
        assert sizes(world) == {"nginx:1": 2, "nginx:2": 0}
        first = world.all(ReplicaSet)[0].metadata.annotations
        assert first["deployment.kubernetes.io/revision"] == "3"
        assert first["deployment.kubernetes.io/revision-history"] == "1"


async def test_recreate_waits_until_the_last_old_pod_is_gone(world: World) -> None:
    await world.apply(Deployment, deployment(2, strategy={"type": "Recreate"}))
    async with world.running(*controllers()):
        await world.run_pods()
        for pod in world.all(Pod):
            await world.bind(pod, "n")
        await set_image(world, "nginx:2")
        await world.settle(5)
        # Both are being deleted and their kubelet has not said that they are gone.
        assert images(world) == ["nginx:1", "nginx:1"]
        assert sizes(world) == {"nginx:1": 0}
        first, second = world.all(Pod)
        await world.client.remove(Pod, first.metadata.name, "default")
        await world.settle(5)
        assert images(world) == ["nginx:1"]
        await world.client.remove(Pod, second.metadata.name, "default")
        await world.settle(5)
        assert images(world) == ["nginx:2"] * 2


async def test_a_paused_deployment_scales_but_does_not_roll(world: World) -> None:
    await world.apply(Deployment, deployment(2))
    async with world.running(*controllers()):
        await world.run_pods()
        await patch_spec(world, paused=True)
        await world.settle()
        assert conditions(world)["Progressing"] == ("Unknown", "DeploymentPaused")
        await set_image(world, "nginx:2")
        await patch_spec(world, replicas=3)
        await world.run_pods()
        assert sizes(world) == {"nginx:1": 3}
        await patch_spec(world, paused=None)
        await world.run_pods()
        assert sizes(world) == {"nginx:1": 0, "nginx:2": 3}
        assert conditions(world)["Progressing"] == ("True", "NewReplicaSetAvailable")


async def test_a_rollout_that_stands_still_is_told_after_the_deadline_and_recovers(world: World) -> None:
    await world.apply(Deployment, deployment(2, progressDeadlineSeconds=60))
    async with world.running(*controllers()):
        await world.run_pods()
        await set_image(world, "broken")
        await world.settle(58)
        assert conditions(world)["Progressing"] == ("True", "ReplicaSetUpdated")
        await world.settle(10)
        assert conditions(world)["Progressing"] == ("False", "ProgressDeadlineExceeded")
        message = next(c.message for c in world.all(Deployment)[0].status.conditions if c.type == "Progressing")
        assert message.startswith('ReplicaSet "web-') and message.endswith('" has timed out progressing.')
        await set_image(world, "nginx:1")
        await world.run_pods()
        assert images(world) == ["nginx:1", "nginx:1"]
        assert conditions(world)["Progressing"] == ("True", "NewReplicaSetAvailable")


async def test_old_replica_sets_beyond_the_limit_are_forgotten(world: World) -> None:
    await world.apply(Deployment, deployment(1, revisionHistoryLimit=2))
    async with world.running(*controllers()):
        for number in range(1, 6):
            await set_image(world, f"nginx:{number}")
            await world.run_pods()
        assert sizes(world) == {"nginx:3": 0, "nginx:4": 0, "nginx:5": 1}


async def test_scaling_in_mid_rollout_is_shared_in_proportion(world: World) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    await world.apply(Deployment, deployment(10, strategy=rolling))
    async with world.running(*controllers()):
        await world.run_pods()
        await set_image(world, "nginx:2")
        await world.settle(1)
        assert sizes(world) == {"nginx:1": 8, "nginx:2": 5}
        await patch_spec(world, replicas=15)
        await world.settle(1)
        # The example of upstream's documentation: 5 more, 3 for the old and 2 for the new.
        assert sizes(world) == {"nginx:1": 11, "nginx:2": 7}


async def test_a_name_taken_by_another_gets_another_hash(world: World) -> None:
    await world.apply(Deployment, deployment(1))
    async with world.running(*controllers()):
        await world.settle()
        name = world.all(ReplicaSet)[0].metadata.name
    other = World()
    stranger = deployment(1)["spec"]
    spec = {key: stranger[key] for key in ("replicas", "template")} | {"selector": {"matchLabels": {"app": "x"}}}
    spec["template"]["metadata"]["labels"] = {"app": "x"}
    await other.apply(ReplicaSet, {"metadata": {"name": name}, "spec": spec})
    await other.apply(Deployment, deployment(1))
    async with other.running(*controllers()):
        await other.settle(5)
        names = [rs.metadata.name for rs in other.all(ReplicaSet)]
        assert len(names) == 2 and len(set(names)) == 2
        assert other.all(Deployment)[0].status.collisionCount == 1


async def test_a_refused_replica_set_is_told(world: World) -> None:
    def refuse(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if verb == "create" and kind is ReplicaSet:
            raise StatusError.forbidden("replicasets", "apps", name, "no")

    world.client.intercept = refuse
    await world.apply(Deployment, deployment(1))
    async with world.running(*controllers()):
        await world.settle(1)
        assert conditions(world)["Progressing"] == ("False", "ReplicaSetCreateError")
        assert any(
            e.startswith('Warning ReplicaSetCreateError Failed to create new replica set "web-') for e in world.events()
        )
        world.client.intercept = None
        await world.settle(60)
        assert len(world.all(Pod)) == 1


async def test_annotations_and_min_ready_seconds_follow_to_the_replica_set(world: World) -> None:
    data = deployment(1)
    data["metadata"]["annotations"] = {
        "kubernetes.io/change-cause": "first",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    await world.apply(Deployment, data)
    async with world.running(*controllers()):
        await world.settle()
        await patch_spec(world, minReadySeconds=7)
        await world.settle()
        rs = world.all(ReplicaSet)[0]
        assert rs.metadata.annotations["kubernetes.io/change-cause"] == "first"
        assert "kubectl.kubernetes.io/last-applied-configuration" not in rs.metadata.annotations
        assert rs.spec.minReadySeconds == 7


async def test_at_rest_it_writes_nothing(world: World) -> None:
    await world.apply(Deployment, deployment(3))
    async with world.running(*controllers()):
        await world.run_pods()
        world.took()
        await world.settle(3600)
        assert world.took() == []


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "Pod"])
async def test_killed_at_every_step_of_a_rollout_and_restarted_it_converges(world: World, kind: str) -> None:
    await world.apply(Deployment, deployment(3))
    async with world.running(*controllers()):
        await world.run_pods()
    for step in range(10):
        image = f"nginx:{step + 2}"
        await set_image(world, image)
        await live_until_killed(
            world, *controllers(), counts=lambda _, touched: touched == kind, after=step, seconds=10
        )
        async with world.running(*controllers()):
            await world.settle(400)
            await world.run_pods()
            assert images(world) == [image] * 3
            assert world.all(Deployment)[0].status.updatedReplicas == 3


async def test_a_second_writer_that_changes_everything_does_not_disturb_it(world: World) -> None:
    """Every write of the controllers meets an object that somebody changed a moment before."""
    await world.apply(Deployment, deployment(3))
    busy = [False]
    count = [0]

    def meddle(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if busy[0] or kind not in (Deployment, ReplicaSet) or not verb.startswith("update"):
            return
        count[0] += 1
        if count[0] % 2:
            raise StatusError.conflict("deployments", "apps", name)

    world.client.intercept = meddle
    async with world.running(*controllers()):
        await world.run_pods()
        await set_image(world, "nginx:2")
        await world.run_pods()
        assert images(world) == ["nginx:2"] * 3
