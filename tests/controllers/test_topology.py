"""Topology aware routing: endpoints are shared out among zones as the nodes' CPUs are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Node, NodeCondition, Service
from kybern.api.discovery import Endpoint, EndpointConditions, EndpointSlice
from kybern.testing.world import World
from kybern_controllers_cluster.endpointslice import EndpointSliceController
from kybern_controllers_cluster.topology import NotShared, share_out
from tests.controllers.test_endpoints import pod, service

AUTO = {"service.kubernetes.io/topology-mode": "Auto"}


def endpoints(**zones: int) -> list[Any]:
    names = [zone for zone, count in zones.items() for _ in range(count)]
    ready = EndpointConditions(ready=True)
    return [Endpoint(addresses=[f"10.0.0.{i:03}"], zone=zone, conditions=ready) for i, zone in enumerate(names)]


def hints(found: list[Any]) -> dict[str, int]:
    return dict(Counter(e.hints.forZones[0].name for e in found))


@pytest.mark.parametrize(
    ("zones", "shares", "wanted"),
    [
        ({"a": 3, "b": 3}, {"a": 0.5, "b": 0.5}, {"a": 3, "b": 3}),
        ({"a": 6}, {"a": 0.5, "b": 0.5}, {"a": 3, "b": 3}),
        ({"a": 8, "b": 1, "c": 1}, {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 5, "b": 3, "c": 2}),
        ({"a": 4, "b": 3}, {"a": 0.5, "b": 0.5}, {"a": 4, "b": 3}),
    ],
)
def test_zones_that_have_more_lend_to_those_that_have_less(
    zones: dict[str, int], shares: dict[str, float], wanted: dict[str, int]
) -> None:
    found = endpoints(**zones)
    share_out(found, shares, lambda _: None)
    assert hints(found) == wanted


def test_an_endpoint_goes_on_with_the_zone_it_serves() -> None:
    found = endpoints(a=4)
    share_out(found, {"a": 0.5, "b": 0.5}, lambda e: "b" if e.addresses[0] in ("10.0.0.002", "10.0.0.003") else "a")
    assert [e.hints.forZones[0].name for e in found] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("zones", "why"),
    [
        ({"a": 1}, "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        ({"a": 1, "": 3}, "One or more endpoints do not have a zone specified"),
        (
            {"a": 1, "b": 1},
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
            "(2 endpoints, 2 zones)",
        ),
    ],
)
def test_without_a_fair_share_for_every_zone_there_are_none(zones: dict[str, int], why: str) -> None:
    found = endpoints(**zones)
    with pytest.raises(NotShared) as caught:
        share_out(found, {"a": 0.8, "b": 0.2}, lambda _: None)
    assert str(caught.value) == why and not any(e.hints for e in found)


async def add_node(world: World, name: str, zone: str) -> None:
    made = await world.client.create(
        types.from_plain(Node, {"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}})
    )

    def change(node: Any) -> None:
        node.status.allocatable = {"cpu": "4"}
        node.status.conditions = [NodeCondition(type="Ready", status="True")]

    await world.set_status(made, change)


@pytest.mark.anyio
async def test_hints_come_with_the_annotation_and_go_with_it(world: World) -> None:
    def zones() -> list[str]:
        found = [e for s in world.all(EndpointSlice) for e in s.endpoints or ()]
        return sorted(e.hints.forZones[0].name for e in found if e.hints is not None)

    await add_node(world, "n1", "a")
    made = service()
    made["metadata"]["annotations"] = AUTO
    await world.apply(Service, made)
    async with world.running(EndpointSliceController()):
        await pod(world, "one", "10.0.0.1", nodeName="n1")
        await pod(world, "two", "10.0.0.2", nodeName="n1")
        assert zones() == []
        assert any("Warning TopologyAwareHintsDisabled Insufficient Node information" in e for e in world.events())
        await add_node(world, "n2", "b")
        await world.settle(1)
        assert zones() == ["a", "b"]
        enabled = "Normal TopologyAwareHintsEnabled Topology Aware Hints has been enabled, addressType: IPv4"
        assert enabled in world.events()
        await world.client.patch(Service, "web", "default", {"metadata": {"annotations": None}})
        await world.settle(1)
        assert zones() == []
        disabled = "Warning TopologyAwareHintsDisabled Topology Aware Hints has been disabled, addressType: IPv4"
        assert disabled in world.events()
