"""Claims for devices are made for pods, and given back when the pods are done."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Pod
from kybern.api.errors import StatusError
from kybern.api.resource import AllocationResult, ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate
from kybern.testing.world import World
from kybern_controllers_cluster.resourceclaim import FINALIZER, POD_CLAIM, ResourceClaimController
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio

REQUESTS = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}
TEMPLATE = {"metadata": {"name": "t"}, "spec": {"metadata": {"labels": {"of": "t"}}, "spec": REQUESTS}}


def pod(name: str = "p", **claim: str) -> dict[str, Any]:
    wanted = {"name": "gpu"} | (claim or {"resourceClaimTemplateName": "t"})
    return least(Pod, name, {"resourceClaims": [wanted]})


async def test_a_claim_is_made_from_the_template_and_written_to_the_pod(world: World) -> None:
    await world.apply(ResourceClaimTemplate, TEMPLATE)
    made = await world.apply(Pod, pod())
    async with world.running(ResourceClaimController()):
        await world.settle(1)
        [claim] = world.all(ResourceClaim)
        assert claim.metadata.generateName == "p-gpu-"
        assert claim.metadata.annotations == {POD_CLAIM: "gpu"}
        assert claim.metadata.labels == {"of": "t"}
        assert claim.metadata.ownerReferences[0].uid == made.metadata.uid
        assert claim.spec.devices.requests[0].exactly.deviceClassName == "gpu"
        statuses = world.all(Pod)[0].status.resourceClaimStatuses
        assert [(s.name, s.resourceClaimName) for s in statuses] == [("gpu", claim.metadata.name)]


async def test_a_template_that_comes_later(world: World) -> None:
    await world.apply(Pod, pod())
    async with world.running(ResourceClaimController()):
        await world.settle(1)
        missing = 'resourceclaimtemplate.resource.k8s.io "t" not found'
        assert any(f"FailedResourceClaimCreation PodResourceClaim gpu: {missing}" in e for e in world.events())
        await world.apply(ResourceClaimTemplate, TEMPLATE)
        await world.settle(1)
        assert len(world.all(ResourceClaim)) == 1


async def test_killed_between_claim_and_status_it_makes_no_second_claim(world: World) -> None:
    await world.apply(ResourceClaimTemplate, TEMPLATE)
    await world.apply(Pod, pod())

    def killed(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind is Pod:
            raise ConnectionError

    world.client.intercept = killed
    async with world.running(ResourceClaimController()):
        await world.settle()
    world.client.intercept = None
    assert world.all(Pod)[0].status.resourceClaimStatuses is None
    async with world.running(ResourceClaimController()):
        await world.settle(1)
        [claim] = world.all(ResourceClaim)
        assert world.all(Pod)[0].status.resourceClaimStatuses[0].resourceClaimName == claim.metadata.name


async def reserved(world: World, *pods: Any) -> Any:
    """The claim `shared`, allocated and reserved."""
    plain = {"metadata": {"name": "shared", "finalizers": [FINALIZER]}, "spec": REQUESTS}
    claim = await world.apply(ResourceClaim, plain)
    consumers = [
        ResourceClaimConsumerReference(resource="pods", name=p.metadata.name, uid=p.metadata.uid) for p in pods
    ]

    def change(c: Any) -> None:
        c.status.allocation, c.status.reservedFor = AllocationResult(), consumers

    return await world.set_status(claim, change)


async def test_devices_are_given_back_when_the_last_pod_is_done(world: World) -> None:
    one = await world.apply(Pod, pod("one", resourceClaimName="shared"))
    two = await world.apply(Pod, pod("two", resourceClaimName="shared"))
    await reserved(world, one, two)
    async with world.running(ResourceClaimController()):
        await world.set_status(one, lambda p: setattr(p.status, "phase", "Succeeded"))
        await world.settle(1)
        claim = world.all(ResourceClaim)[0]
        assert [r.name for r in claim.status.reservedFor] == ["two"]
        assert claim.status.allocation is not None
        await world.client.remove(Pod, "two", "default")
        await world.settle(1)
        claim = world.all(ResourceClaim)[0]
        assert (claim.status.allocation, claim.status.reservedFor, claim.metadata.finalizers) == (None, None, None)


async def test_a_namesake_of_a_pod_that_is_gone_has_no_reservation(world: World) -> None:
    old = types.copy(await world.apply(Pod, pod("p", resourceClaimName="shared")))
    await world.client.remove(Pod, "p", "default")
    await world.apply(Pod, pod("p", resourceClaimName="shared"))
    await reserved(world, old)
    async with world.running(ResourceClaimController()):
        await world.settle(1)
        assert world.all(ResourceClaim)[0].status.reservedFor is None


async def test_a_claim_that_is_deleted_goes_when_it_is_no_longer_reserved(world: World) -> None:
    made = await world.apply(Pod, pod("p", resourceClaimName="shared"))
    await reserved(world, made)
    async with world.running(ResourceClaimController()):
        await world.client.delete(ResourceClaim, "shared", "default")
        await world.settle(1)
        assert len(world.all(ResourceClaim)) == 1
        await world.client.remove(Pod, "p", "default")
        await world.settle(1)
        assert world.all(ResourceClaim) == []


async def test_the_claim_of_a_finished_pod_goes(world: World) -> None:
    await world.apply(ResourceClaimTemplate, TEMPLATE)
    made = await world.apply(Pod, pod())
    async with world.running(ResourceClaimController()):
        await world.settle(1)
        await world.set_status(made, lambda p: setattr(p.status, "phase", "Failed"))
        await world.settle(1)
        assert world.all(ResourceClaim) == []


async def test_another_writer_is_faster(world: World) -> None:
    made = await world.apply(Pod, pod("p", resourceClaimName="shared"))
    await reserved(world, made)
    await world.client.remove(Pod, "p", "default")
    lost: list[str] = []

    def conflict(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind is ResourceClaim and not lost:
            lost.append(name)
            raise StatusError.conflict("resourceclaims", "resource.k8s.io", name)

    world.client.intercept = conflict
    async with world.running(ResourceClaimController()):
        await world.settle(2)
        assert world.all(ResourceClaim)[0].status.reservedFor is None


async def test_a_pod_that_came_past_the_scheduler_gets_its_reservation(world: World) -> None:
    plain = pod("p", resourceClaimName="shared")
    plain["spec"]["nodeName"] = "n"
    await reserved(world)
    made = await world.apply(Pod, plain)
    async with world.running(ResourceClaimController()):
        await world.settle(1)
        assert [r.uid for r in world.all(ResourceClaim)[0].status.reservedFor] == [made.metadata.uid]
