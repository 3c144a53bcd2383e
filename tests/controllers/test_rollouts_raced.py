"""Two copies of a controller at once, while users write too: neither makes what the other has made."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps import ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet
from kybern.api.core import Node, PersistentVolumeClaim, Pod
from kybern.reconcile.interface import Controller
from kybern.testing.world import World
from kybern_controllers_workloads.daemonset import DaemonSetController
from kybern_controllers_workloads.deployment import DeploymentController
from kybern_controllers_workloads.replicaset import ReplicaSetController
from kybern_controllers_workloads.statefulset import StatefulSetController
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio

LABELS = {"app": "web"}


def workload(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "web:0"}]}}
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": LABELS}, "template": template, **spec}}


async def set_image(world: World, kind: type[Any], image: str) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    await world.client.patch(kind, "web", "default", {"spec": {"template": template}})


def images(world: World) -> list[str]:
    return [p.spec.containers[0].image for p in world.all(Pod) if not p.metadata.deletionTimestamp]


async def race(world: World, kind: type[Any], *controllers: type[Controller]) -> None:
    """Several updates with two of each running; three pods of the last one come of it."""
    async with world.running(*(c() for c in controllers)), world.running(*(c() for c in controllers)):
        await world.run_pods()
        for number in range(1, 5):
            await set_image(world, kind, f"web:{number}")
            await world.settle(1)
            await world.make_ready()
        await world.run_pods()
        await world.settle(600)
        await world.run_pods()
        assert images(world) == ["web:4"] * 3
        world.took()
        await world.settle(3600)
        assert world.took() == [], "they go on correcting each other"


async def test_two_stateful_set_controllers(world: World) -> None:
    claims = [least(PersistentVolumeClaim, "data")]
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    spec = {"replicas": 3, "serviceName": "web", "volumeClaimTemplates": claims, "updateStrategy": strategy}
    await world.apply(StatefulSet, workload(**spec))
    await race(world, StatefulSet, StatefulSetController)
    assert len(world.all(PersistentVolumeClaim)) == 3
    assert sorted(r.revision for r in world.all(ControllerRevision)) == [1, 2, 3, 4, 5]


async def test_two_daemon_set_controllers(world: World) -> None:
    for name in "abc":
        await world.apply(Node, {"metadata": {"name": name}})
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    await world.apply(DaemonSet, workload(updateStrategy=strategy))
    await race(world, DaemonSet, DaemonSetController)
    assert sorted(r.revision for r in world.all(ControllerRevision)) == [1, 2, 3, 4, 5]


async def test_two_deployment_and_replica_set_controllers(world: World) -> None:
    rolling = {"maxUnavailable": 1, "maxSurge": 1}
    spec = {"replicas": 3, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    await world.apply(Deployment, workload(**spec))
    await race(world, Deployment, DeploymentController, ReplicaSetController)
    kept = [rs for rs in world.all(ReplicaSet) if rs.spec.replicas]
    assert [rs.spec.template.spec.containers[0].image for rs in kept] == ["web:4"]
    assert len(world.all(ReplicaSet)) == 5
