"""What nodes are told: how long secrets keep, and which volumes are attached."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from kybern.api.storage import CSIDriver, VolumeAttachment
from kybern.api.time import format_time
from kybern.testing.world import World
from kybern_controllers_cluster.attachdetach import AttachDetachController
from kybern_controllers_cluster.nodettl import NodeTTLController, step_for
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio

ATTACHED = "kubernetes.io/csi/csi.example.com^handle"


@pytest.mark.parametrize(
    ("nodes", "before", "after"), [(100, 0, 0), (101, 0, 1), (90, 1, 1), (89, 1, 0), (20_000, 0, 5), (5000, 5, 4)]
)
def test_steps_overlap(nodes: int, before: int, after: int) -> None:
    assert step_for(nodes, before) == after


async def make(world: World, kind: type[Any], name: str, **fields: Any) -> Any:
    return await world.apply(kind, {"metadata": {"name": name}} | fields)


async def test_nodes_are_told_how_long_secrets_keep(world: World) -> None:
    for i in range(100):
        await make(world, Node, f"n{i}")
    async with world.running(NodeTTLController()):
        await world.settle(6)
        said = {n.metadata.annotations["node.alpha.kubernetes.io/ttl"] for n in world.all(Node)}
        assert said == {"0"}
        await make(world, Node, "one-more")
        await world.settle(6)
        newest = next(n for n in world.all(Node) if n.metadata.name == "one-more")
        assert newest.metadata.annotations["node.alpha.kubernetes.io/ttl"] == "15"


async def with_volume(world: World, driver: str = "csi.example.com", **spec: Any) -> None:
    """A pod on node `n` with a bound claim."""
    await make(world, Node, "n")
    await make(world, Node, "m")
    await make(world, CSIDriver, "csi.example.com", spec=spec)
    csi = {"driver": driver, "volumeHandle": "handle"}
    await world.apply(PersistentVolume, least(PersistentVolume, "v", {"hostPath": None, "csi": csi}))
    claim = least(PersistentVolumeClaim, "c", {"volumeName": "v"})
    await world.apply(PersistentVolumeClaim, claim | {"status": {"phase": "Bound"}})
    await world.apply(Pod, pod_on("n"))


def pod_on(node: str) -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    return least(Pod, f"on-{node}", {"nodeName": node, "volumes": volumes})


async def test_a_volume_is_attached_for_a_pod_and_detached_after_it(world: World) -> None:
    await with_volume(world)
    async with world.running(AttachDetachController()):
        await world.settle(1)
        [made] = world.all(VolumeAttachment)
        assert (made.spec.attacher, made.spec.nodeName, made.spec.source.persistentVolumeName) == (
            "csi.example.com",
            "n",
            "v",
        )
        node = next(n for n in world.all(Node) if n.metadata.name == "n")
        assert node.status.volumesAttached is None
        await world.set_status(made, lambda a: setattr(a.status, "attached", True))
        await world.settle(1)
        node = next(n for n in world.all(Node) if n.metadata.name == "n")
        assert [a.name for a in node.status.volumesAttached] == [ATTACHED]
        await world.set_status(node, lambda n: setattr(n.status, "volumesInUse", [ATTACHED]))
        await world.client.remove(Pod, "on-n", "default")
        await world.settle(1)
        assert len(world.all(VolumeAttachment)) == 1
        node = next(n for n in world.all(Node) if n.metadata.name == "n")
        await world.set_status(node, lambda n: setattr(n.status, "volumesInUse", None))
        await world.settle(1)
        assert world.all(VolumeAttachment) == []
        assert next(n for n in world.all(Node) if n.metadata.name == "n").status.volumesAttached is None


async def test_a_volume_for_one_node_waits_until_the_other_has_let_go(world: World) -> None:
    await with_volume(world)
    async with world.running(AttachDetachController()):
        await world.settle(1)
        await world.apply(Pod, pod_on("m"))
        await world.settle(1)
        assert [a.spec.nodeName for a in world.all(VolumeAttachment)] == ["n"]
        assert any('FailedAttachVolume Multi-Attach error for volume "v"' in event for event in world.events())
        await world.client.remove(Pod, "on-n", "default")
        await world.settle(20)
        assert [a.spec.nodeName for a in world.all(VolumeAttachment)] == ["m"]


async def test_a_driver_that_attaches_nothing(world: World) -> None:
    await with_volume(world, attachRequired=False)
    async with world.running(AttachDetachController()):
        await world.settle(1)
        assert world.all(VolumeAttachment) == []


async def test_a_driver_that_says_nothing_of_itself_may_need_to_attach(world: World) -> None:
    await with_volume(world, "other.example.com")
    async with world.running(AttachDetachController()):
        await world.settle(1)
        assert [a.spec.attacher for a in world.all(VolumeAttachment)] == ["other.example.com"]


async def test_the_pod_is_told_once_that_its_volume_is_attached(world: World) -> None:
    await with_volume(world)
    async with world.running(AttachDetachController()):
        await world.settle(1)
        await world.set_status(world.all(VolumeAttachment)[0], lambda a: setattr(a.status, "attached", True))
        await world.settle(1)
    async with world.running(AttachDetachController()):
        await world.settle(1)
    text = 'AttachVolume.Attach succeeded for volume "v" '
    assert world.events() == [f"Normal SuccessfulAttachVolume {text}"]


async def test_a_pod_that_must_wait_is_told_for_whom(world: World) -> None:
    await with_volume(world)
    async with world.running(AttachDetachController()):
        await world.settle(1)
        await world.apply(Pod, pod_on("m"))
        await world.settle(1)
    text = 'Multi-Attach error for volume "v" Volume is already used by pod(s) on-n'
    assert world.events() == [f"Warning FailedAttachVolume {text}"]


@pytest.mark.parametrize(
    ("taints", "seconds"), [([], 370), ([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}], 6)]
)
async def test_a_dead_node_keeps_no_volume_for_ever(world: World, taints: list[dict[str, str]], seconds: float) -> None:
    await with_volume(world)
    async with world.running(AttachDetachController()):
        await world.settle(1)
        node = next(n for n in world.all(Node) if n.metadata.name == "n")
        unknown = {"type": "Ready", "status": "Unknown", "lastTransitionTime": format_time(world.clock.now())}
        plain = types.to_plain(node) | {"spec": {"taints": taints}}
        await world.client.update(types.from_plain(Node, plain))
        said = types.from_plain(Node, {"status": {"conditions": [unknown], "volumesInUse": [ATTACHED]}}).status
        await world.set_status(node, lambda n: setattr(n, "status", said))
        await world.apply(Pod, pod_on("m"))
        await world.client.remove(Pod, "on-n", "default")
        await world.settle(seconds - 15 if seconds > 60 else 0)
        if seconds > 60:
            assert [a.spec.nodeName for a in world.all(VolumeAttachment)] == ["n"]
        await world.settle(30)
        assert [a.spec.nodeName for a in world.all(VolumeAttachment)] == ["m"]


async def test_an_attachment_that_somebody_else_made_is_left_alone(world: World) -> None:
    await make(world, Node, "n")
    source = {"persistentVolumeName": "v"}
    await make(world, VolumeAttachment, "mine", spec={"attacher": "a", "nodeName": "n", "source": source})
    async with world.running(AttachDetachController()):
        await world.settle(30)
        assert len(world.all(VolumeAttachment)) == 1
