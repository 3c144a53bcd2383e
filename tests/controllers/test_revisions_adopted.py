"""A StatefulSet or DaemonSet deleted without its dependents, and made again: it goes on where the old one stood."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import ControllerRevision, DaemonSet, StatefulSet
from kybern.api.core import Node, Pod
from kybern.testing.world import World
from kybern_controllers_workloads.daemonset import DaemonSetController
from kybern_controllers_workloads.statefulset import StatefulSetController

pytestmark = pytest.mark.anyio

LABELS = {"app": "web"}


def workload(image: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}]}}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {}}
    base = {"selector": {"matchLabels": LABELS}, "template": template, "updateStrategy": rolling}
    return {"metadata": {"name": "web"}, "spec": base | spec}


async def orphan_all(world: World) -> None:
    """As the garbage collector does for `kubectl delete --cascade=orphan`."""
    for kind in (Pod, ControllerRevision):
        for obj in world.all(kind):
            changed = types.copy(obj)
            changed.metadata.ownerReferences = None
            await world.client.update(changed)


@pytest.mark.parametrize(
    ("kind", "controller", "spec"),
    [(StatefulSet, StatefulSetController, {"replicas": 2, "serviceName": "web"}), (DaemonSet, DaemonSetController, {})],
)
async def test_orphaned_revisions_are_adopted(world: World, kind: Any, controller: Any, spec: dict[str, Any]) -> None:
    for name in "ab":
        await world.apply(Node, {"metadata": {"name": name}})
    await world.apply(kind, workload("web:1", **spec))
    async with world.running(controller()):
        await world.run_pods()
        patch = {"spec": {"template": workload("web:2")["spec"]["template"]}}
        await world.client.patch(kind, "web", "default", patch)
        await world.run_pods()
    before = {pod.metadata.uid for pod in world.all(Pod)}
    await world.client.remove(kind, "web", "default")
    await orphan_all(world)
    again = await world.apply(kind, workload("web:2", **spec))
    async with world.running(controller()):
        await world.run_pods()
        owners = {r.revision: r.metadata.ownerReferences[0].uid for r in world.all(ControllerRevision)}
        assert owners == {1: again.metadata.uid, 2: again.metadata.uid}
        assert {pod.metadata.uid for pod in world.all(Pod)} == before
        world.took()
        await world.settle(3600)
        assert world.took() == []
