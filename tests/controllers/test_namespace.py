"""A Namespace that is deleted takes all that is in it along, in the right order."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import ConfigMap, Namespace, Pod, Secret
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_cluster.namespace import NamespaceController
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio


async def end_namespace(world: World, name: str = "shop") -> None:
    """As the API server does it: the finalizer in the spec holds the Namespace."""
    plain = {"metadata": {"name": name, "finalizers": ["test/hold"]}, "spec": {"finalizers": ["kubernetes"]}}
    await world.client.create(types.from_plain(Namespace, plain))
    await world.client.delete(Namespace, name)


def conditions(world: World) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.message) for c in world.all(Namespace)[0].status.conditions or ()}


def put(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", **metadata}}


async def test_everything_goes_and_then_the_finalizer(world: World) -> None:
    await world.apply(ConfigMap, put("a"))
    await world.apply(Secret, put("b"))
    await world.apply(Pod, least(Pod, "c", namespace="shop"))
    await world.apply(ConfigMap, {"metadata": {"name": "elsewhere", "namespace": "other"}})
    await end_namespace(world)
    async with world.running(NamespaceController()):
        await world.settle(5)
        assert [c.metadata.name for c in world.all(ConfigMap)] == ["elsewhere"]
        assert world.all(Secret) == [] and world.all(Pod) == []
        namespace = world.all(Namespace)[0]
        assert not namespace.spec.finalizers
        assert namespace.status.phase == "Terminating"


async def test_pods_go_first_and_everything_waits_for_the_last(world: World) -> None:
    await world.apply(ConfigMap, put("config"))
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 20}
    await world.apply(Pod, least(Pod, "slow", spec, namespace="shop"))
    await end_namespace(world)
    async with world.running(NamespaceController()):
        await world.settle(15)
        assert len(world.all(ConfigMap)) == 1
        told = conditions(world)
        assert told["NamespaceContentRemaining"] == (
            "True",
            "Some resources are remaining: pods. has 1 resource instances",
        )
        await world.client.remove(Pod, "slow", "shop")
        await world.settle(0.1)
        assert world.all(ConfigMap) == []
        assert conditions(world)["NamespaceContentRemaining"][0] == "False"


async def test_a_finalizer_that_holds_an_object_is_told(world: World) -> None:
    await world.apply(ConfigMap, put("held", finalizers=["example.com/hold"]))
    await end_namespace(world)
    async with world.running(NamespaceController()):
        await world.settle(5)
        assert conditions(world)["NamespaceFinalizersRemaining"] == (
            "True",
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
        )
        assert world.all(Namespace)[0].spec.finalizers == ["kubernetes"]
        await world.client.patch(ConfigMap, "held", "shop", {"metadata": {"finalizers": None}})
        await world.settle(20)
        assert not world.all(Namespace)[0].spec.finalizers


async def test_a_living_namespace_is_left_alone(world: World) -> None:
    plain = {"metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"]}}
    await world.client.create(types.from_plain(Namespace, plain))
    await world.apply(ConfigMap, put("a"))
    async with world.running(NamespaceController()):
        world.took()
        await world.settle(60)
        assert world.took() == []


async def test_what_stays_without_a_reason_is_told_as_a_failure(world: World) -> None:
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 20}
    await world.apply(Pod, least(Pod, "stuck", spec, namespace="shop"))
    await end_namespace(world)
    async with world.running(NamespaceController()):
        await world.settle(15)
        assert conditions(world)["NamespaceDeletionContentFailure"][0] == "False"
        await world.settle(30)
        assert conditions(world)["NamespaceDeletionContentFailure"] == (
            "True",
            "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: shop "
            "for gvr: /v1, Resource=pods",
        )


async def test_that_it_is_not_known_what_there_is_is_told(world: World) -> None:
    await world.apply(ConfigMap, put("a"))
    await end_namespace(world)
    raw = world.client.raw

    async def fail(*args: Any, **options: Any) -> Any:
        raise StatusError(503, "ServiceUnavailable", "no discovery today")

    world.client.raw = fail  # type: ignore[method-assign]
    async with world.running(NamespaceController()):
        await world.settle(1)
        assert conditions(world)["NamespaceDeletionDiscoveryFailure"] == ("True", "no discovery today")
        assert len(world.all(ConfigMap)) == 1
        world.client.raw = raw  # type: ignore[method-assign]
        await world.settle(60)
        assert conditions(world)["NamespaceDeletionDiscoveryFailure"][0] == "False"
        assert world.all(ConfigMap) == []
