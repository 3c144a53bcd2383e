"""Endpoints that are written by hand are mirrored into slices, and only those."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Endpoints, Service
from kybern.api.discovery import EndpointSlice
from kybern.testing.world import World
from kybern_controllers_cluster.endpointslicemirroring import EndpointSliceMirroringController

pytestmark = pytest.mark.anyio


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}], **spec}}


def endpoints(*addresses: str, port: int = 5432, **metadata: Any) -> dict[str, Any]:
    subset = {"addresses": [{"ip": ip} for ip in addresses], "ports": [{"name": "sql", "port": port}]}
    return {"metadata": {"name": "db", **metadata}, "subsets": [subset]}


def mirrors(world: World) -> list[str]:
    """`IPv4 5432: 10.0.0.1 10.0.0.2(not ready)`."""
    told = []
    for each in world.all(EndpointSlice):
        ports = " ".join(str(p.port) for p in each.ports or ())
        places = [f"{e.addresses[0]}{'' if e.conditions.ready else '(not ready)'}" for e in each.endpoints or ()]
        told.append(f"{each.addressType} {ports}: {' '.join(places)}")
    return sorted(told)


async def test_a_mirror_for_each_family_and_set_of_ports(world: World) -> None:
    await world.apply(Service, service())
    given = endpoints("10.0.0.1", "fd00::1", labels={"team": "a"}, annotations={"note": "x"})
    given["subsets"][0]["notReadyAddresses"] = [{"ip": "10.0.0.2"}]
    given["subsets"].append({"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 80}]})
    await world.apply(Endpoints, given)
    async with world.running(EndpointSliceMirroringController()):
        await world.settle(1)
        assert mirrors(world) == ["IPv4 5432: 10.0.0.1 10.0.0.2(not ready)", "IPv4 80: 10.0.0.9", "IPv6 5432: fd00::1"]
        made = world.all(EndpointSlice)[0].metadata
        assert made.generateName == "db-"
        assert made.labels == {
            "team": "a",
            "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        }
        assert made.annotations == {"note": "x"}
        assert made.ownerReferences[0].kind == "Endpoints"


@pytest.mark.parametrize(
    ("of_service", "metadata"),
    [
        ({"selector": {"app": "db"}}, {}),
        ({}, {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}),
        ({}, {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}),
    ],
)
async def test_what_is_not_mirrored(world: World, of_service: dict[str, Any], metadata: dict[str, Any]) -> None:
    await world.apply(Service, service(**of_service))
    await world.apply(Endpoints, endpoints("10.0.0.1", **metadata))
    async with world.running(EndpointSliceMirroringController()):
        await world.settle(1)
        assert mirrors(world) == []


async def test_changes_are_followed_with_as_few_writes_as_possible(world: World) -> None:
    await world.apply(Service, service())
    made = await world.apply(Endpoints, endpoints("10.0.0.1"))
    async with world.running(EndpointSliceMirroringController()):
        await world.settle(1)
        name = world.all(EndpointSlice)[0].metadata.name
        world.took()
        changed = types.copy(made)
        changed.subsets[0].ports[0].port = 6000
        await world.client.update(changed)
        await world.settle(1)
        assert mirrors(world) == ["IPv4 6000: 10.0.0.1"]
        assert world.all(EndpointSlice)[0].metadata.name == name
        assert len(world.took()) == 2


@pytest.mark.parametrize("gone", [Endpoints, Service])
async def test_the_mirror_goes_with_either(world: World, gone: type[Any]) -> None:
    await world.apply(Service, service())
    await world.apply(Endpoints, endpoints("10.0.0.1"))
    async with world.running(EndpointSliceMirroringController()):
        await world.settle(1)
        await world.client.delete(gone, "db", "default")
        await world.settle(1)
        assert mirrors(world) == []


async def test_a_service_that_gets_a_selector_is_mirrored_no_longer(world: World) -> None:
    await world.apply(Service, service())
    await world.apply(Endpoints, endpoints("10.0.0.1"))
    async with world.running(EndpointSliceMirroringController()):
        await world.settle(1)
        await world.client.patch(Service, "db", "default", {"spec": {"selector": {"app": "db"}}})
        await world.settle(1)
        assert mirrors(world) == []


async def test_addresses_that_cannot_be_mirrored_are_told(world: World) -> None:
    await world.apply(Service, service())
    many = [f"10.0.{i // 250}.{i % 250}" for i in range(1003)]
    await world.client.put(types.from_plain(Endpoints, endpoints("nonsense", *many, namespace="default", uid="u")))
    async with world.running(EndpointSliceMirroringController()):
        await world.settle(1)
        assert len(world.all(EndpointSlice)[0].endpoints) == 999
        assert any("Skipped 1 invalid IP addresses" in event for event in world.events())
        assert any("4 addresses were skipped" in event for event in world.events())
