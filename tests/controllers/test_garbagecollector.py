"""The garbage collector in its three ways, and with owners that are not what they seem."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps import Deployment, ReplicaSet
from kybern.api.core import ConfigMap, Node, Pod
from kybern.testing.world import World
from kybern_controllers_cluster.garbagecollector import GarbageCollector
from tests.controllers.chaos import live_until_killed
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio


def reference(owner: Any, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": owner.apiVersion,
        "kind": owner.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        **more,
    }


async def make(world: World, kind: type[Any], name: str, *owners: Any, namespace: str | None = "default") -> Any:
    references = [o if isinstance(o, dict) else reference(o) for o in owners]
    where = {} if kind is Node else {"namespace": namespace}
    return await world.apply(kind, least(kind, name, ownerReferences=references, **where))


def names(world: World, kind: type[Any]) -> list[str]:
    return sorted(obj.metadata.name for obj in world.all(kind))


async def test_background_deletes_the_dependents_and_theirs(world: World) -> None:
    web = await make(world, Deployment, "web")
    rs = await make(world, ReplicaSet, "web-1", web)
    await make(world, Pod, "web-1-a", rs)
    await make(world, Pod, "other")
    async with world.running(GarbageCollector()):
        await world.settle(1)
        assert names(world, Pod) == ["other", "web-1-a"]
        await world.client.delete(Deployment, "web", "default", propagation="Background")
        await world.settle(1)
        assert names(world, ReplicaSet) == []
        assert names(world, Pod) == ["other"]


async def test_orphan_lets_the_dependents_live(world: World) -> None:
    web = await make(world, Deployment, "web")
    await make(world, ReplicaSet, "web-1", web)
    async with world.running(GarbageCollector()):
        await world.settle(1)
        await world.client.delete(Deployment, "web", "default", propagation="Orphan")
        await world.settle(1)
        assert names(world, Deployment) == []
        assert [rs.metadata.ownerReferences for rs in world.all(ReplicaSet)] == [None]


async def test_foreground_waits_for_the_dependents_that_block(world: World) -> None:
    web = await make(world, Deployment, "web")
    await world.apply(
        ReplicaSet,
        least(
            ReplicaSet,
            "web-1",
            finalizers=["example.com/hold"],
            ownerReferences=[reference(web, controller=True, blockOwnerDeletion=True)],
        ),
    )
    async with world.running(GarbageCollector()):
        await world.settle(1)
        await world.client.delete(Deployment, "web", "default", propagation="Foreground")
        await world.settle(5)
        assert names(world, Deployment) == ["web"]
        held = world.all(ReplicaSet)[0]
        assert held.metadata.deletionTimestamp
        await world.client.patch(ReplicaSet, "web-1", "default", {"metadata": {"finalizers": None}})
        await world.settle(5)
        assert names(world, ReplicaSet) == []
        assert names(world, Deployment) == []


async def test_foreground_does_not_wait_for_those_that_do_not_block(world: World) -> None:
    web = await make(world, Deployment, "web")
    await world.apply(
        ConfigMap,
        {"metadata": {"name": "c", "finalizers": ["example.com/hold"], "ownerReferences": [reference(web)]}},
    )
    async with world.running(GarbageCollector()):
        await world.settle(1)
        await world.client.delete(Deployment, "web", "default", propagation="Foreground")
        await world.settle(5)
        assert names(world, Deployment) == []


async def test_an_object_with_another_owner_stays(world: World) -> None:
    one = await make(world, ConfigMap, "one")
    two = await make(world, ConfigMap, "two")
    await make(world, ConfigMap, "shared", one, two)
    async with world.running(GarbageCollector()):
        await world.settle(1)
        await world.client.delete(ConfigMap, "one", "default")
        await world.settle(1)
        shared = await world.client.get(ConfigMap, "shared", "default")
        assert [r.name for r in shared.metadata.ownerReferences] == ["two"]


async def test_an_owner_that_never_was_is_asked_for_once_and_its_dependent_deleted(world: World) -> None:
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "no-such"}
    await make(world, Pod, "left-over", ghost)
    async with world.running(GarbageCollector()):
        await world.settle(1)
        assert names(world, Pod) == []


async def test_a_namesake_of_the_owner_does_not_count(world: World) -> None:
    old = await make(world, ConfigMap, "owner")
    await world.client.delete(ConfigMap, "owner", "default")
    await make(world, ConfigMap, "owner")
    await make(world, Pod, "left-over", old)
    async with world.running(GarbageCollector()):
        await world.settle(1)
        assert names(world, Pod) == []


async def test_an_owner_in_another_namespace_is_none(world: World) -> None:
    owner = await make(world, ConfigMap, "owner", namespace="elsewhere")
    await make(world, Pod, "stray", owner)
    async with world.running(GarbageCollector()):
        await world.settle(1)
        assert names(world, Pod) == []
        assert any("OwnerRefInvalidNamespace" in event for event in world.events())


async def test_a_cluster_scoped_object_with_a_namespaced_owner_is_left_alone(world: World) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "u"}
    await make(world, Node, "n", owner)
    async with world.running(GarbageCollector()):
        await world.settle(60)
        assert names(world, Node) == ["n"]


async def test_an_owner_of_an_unknown_kind_counts_as_there(world: World) -> None:
    await make(world, Pod, "p", {"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": "u"})
    async with world.running(GarbageCollector()):
        await world.settle(60)
        assert names(world, Pod) == ["p"]


async def test_a_circle_of_owners_goes_in_the_foreground(world: World) -> None:
    first = await make(world, ConfigMap, "first")
    second = await world.apply(
        ConfigMap,
        {"metadata": {"name": "second", "ownerReferences": [reference(first, blockOwnerDeletion=True)]}},
    )
    patch = {"metadata": {"ownerReferences": [reference(second, blockOwnerDeletion=True)]}}
    await world.client.patch(ConfigMap, "first", "default", patch)
    async with world.running(GarbageCollector()):
        await world.settle(1)
        await world.client.delete(ConfigMap, "first", "default", propagation="Foreground")
        await world.settle(5)
        assert names(world, ConfigMap) == []


async def test_what_was_deleted_while_it_was_not_running_is_found(world: World) -> None:
    web = await make(world, Deployment, "web")
    rs = await make(world, ReplicaSet, "web-1", web)
    await make(world, Pod, "web-1-a", rs)
    async with world.running(GarbageCollector()):
        await world.settle(1)
    await world.client.delete(Deployment, "web", "default")
    async with world.running(GarbageCollector()):
        await world.settle(1)
        assert names(world, ReplicaSet) == []
        assert names(world, Pod) == []


@pytest.mark.parametrize("way", ["Background", "Foreground", "Orphan"])
async def test_killed_at_every_step_and_restarted_it_ends_in_the_same_place(world: World, way: Any) -> None:
    for step in range(6):
        web = await make(world, Deployment, "web")
        blocking = reference(web, controller=True, blockOwnerDeletion=True)
        rs = await make(world, ReplicaSet, "web-1", blocking)
        for name in "ab":
            await make(world, Pod, name, rs)
        await world.client.delete(Deployment, "web", "default", propagation=way)
        await live_until_killed(world, GarbageCollector(), counts=lambda *_: True, after=step, seconds=60)
        async with world.running(GarbageCollector()):
            await world.settle(60)
            assert names(world, Deployment) == []
            assert names(world, Pod) == (["a", "b"] if way == "Orphan" else [])
        for kind in (Pod, ReplicaSet):
            for obj in world.all(kind):
                await world.client.delete(kind, obj.metadata.name, "default")


async def test_a_wrong_name_in_the_same_namespace_is_not_called_another_namespace(world: World) -> None:
    owner = await make(world, ConfigMap, "owner")
    await make(world, Pod, "stray", reference(owner) | {"name": "other"})
    async with world.running(GarbageCollector()):
        await world.settle(1)
        assert names(world, Pod) == []
        assert not any("OwnerRefInvalidNamespace" in event for event in world.events())
