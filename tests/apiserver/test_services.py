"""Cluster IPs and node ports."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.apiserver.server import APIServer
from kybern.apiserver.services.pools import Full, NumberPool
from tests.apiserver.conftest import Api

pytestmark = pytest.mark.anyio

SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"service_cidr": "10.0.0.0/28", "node_port_range": "30000-30003"}


def service(name: str, *ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"ports": list(ports) or [{"port": 80}], "selector": {"a": "b"}, **spec},
    }


async def address(api: Api, name: str, **spec: Any) -> str:
    made = await api.create(SERVICES, service(name, **spec))
    assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]]
    return str(made["spec"]["clusterIP"])


async def test_the_service_of_the_api_itself(api: Api) -> None:
    spec = (await api.get(f"{SERVICES}/kubernetes"))["spec"]
    assert (spec["clusterIP"], spec["ports"][0]["port"]) == ("10.0.0.1", 443)


async def test_every_service_has_its_own_address_until_none_is_left(api: Api) -> None:
    given = {await address(api, f"s{i}") for i in range(13)}
    assert given == {f"10.0.0.{i}" for i in range(2, 15)}
    full = await api.ask("POST", SERVICES, service("more"))
    assert full.code == 422
    assert "range is full" in full.message
    await api.ask("DELETE", f"{SERVICES}/s3")
    assert await address(api, "more") in given


async def test_an_address_can_be_chosen_if_it_is_free(api: Api) -> None:
    assert await address(api, "a", clusterIP="10.0.0.9") == "10.0.0.9"
    taken = await api.ask("POST", SERVICES, service("b", clusterIP="10.0.0.9"))
    assert taken.code == 422
    assert (
        'spec.clusterIPs: Invalid value: ["10.0.0.9"]: failed to allocate IP 10.0.0.9: provided IP is already allocated'
        in (taken.message)
    )
    outside = await api.ask("POST", SERVICES, service("b", clusterIP="192.0.2.1"))
    assert "failed to allocate IP 192.0.2.1: the provided network does not match the current range" in outside.message


async def test_headless_and_external_services_take_nothing(api: Api) -> None:
    free = len(api.server.backend.services.addresses.used)
    assert await address(api, "headless", clusterIP="None") == "None"
    made = await api.create(
        SERVICES, {"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "x.org"}}
    )
    assert "clusterIP" not in made["spec"]
    assert len(api.server.backend.services.addresses.used) == free


async def test_a_dry_run_takes_nothing(api: Api) -> None:
    before = set(api.server.backend.services.addresses.used)
    answer = await api.ask("POST", f"{SERVICES}?dryRun=All", service("a", type="NodePort"))
    assert answer.json["spec"]["clusterIP"].startswith("10.0.0.")
    assert answer.json["spec"]["ports"][0]["nodePort"] >= 30000
    assert api.server.backend.services.addresses.used == before
    assert api.server.backend.services.ports.used == set()


async def test_what_a_failed_create_took_is_given_back(api: Api) -> None:
    await api.create(SERVICES, service("a"))
    before = set(api.server.backend.services.addresses.used)
    assert (await api.ask("POST", SERVICES, service("a"))).code == 409
    assert api.server.backend.services.addresses.used == before


async def test_node_ports(api: Api) -> None:
    ports = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made = await api.create(SERVICES, service("a", *ports, type="NodePort"))
    tcp, udp = (p["nodePort"] for p in made["spec"]["ports"])
    assert tcp == udp, "protocols of one port share a node port"
    fixed = await api.ask("POST", SERVICES, service("b", {"port": 80, "nodePort": tcp}, type="NodePort"))
    assert f"spec.ports[0].nodePort: Invalid value: {tcp}: provided port is already allocated" in fixed.message
    outside = await api.ask("POST", SERVICES, service("b", {"port": 80, "nodePort": 80}, type="NodePort"))
    assert "provided port is not in the valid range. The range of valid ports is 30000-30003" in outside.message
    for name in "bcd":
        await api.create(SERVICES, service(name, type="NodePort"))
    full = await api.ask("POST", SERVICES, service("e", type="NodePort"))
    assert (full.code, "range is full" in full.message) == (422, True)
    assert len(api.server.backend.services.ports.used) == 4
    await api.ask("DELETE", f"{SERVICES}/a")
    assert len(api.server.backend.services.ports.used) == 3


async def test_an_update_keeps_what_the_service_has(api: Api) -> None:
    made = await api.create(SERVICES, service("a", type="NodePort"))
    changed = (await api.patch(f"{SERVICES}/a", {"metadata": {"labels": {"x": "y"}}})).json
    assert changed["spec"] == made["spec"]
    used = (set(api.server.backend.services.addresses.used), set(api.server.backend.services.ports.used))
    blind = await api.ask("PUT", f"{SERVICES}/a", service("a", type="NodePort"))
    assert blind.code == 200, blind.body
    assert blind.json["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert (api.server.backend.services.addresses.used, api.server.backend.services.ports.used) == used


async def test_a_service_that_no_longer_needs_node_ports_gives_them_back(api: Api) -> None:
    await api.create(SERVICES, service("a", type="NodePort"))
    changed = await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}})
    assert changed.code == 200, changed.body
    assert "nodePort" not in changed.json["spec"]["ports"][0]
    assert api.server.backend.services.ports.used == set()


async def test_a_restarted_server_knows_what_is_taken(api: Api, server_options: dict[str, Any]) -> None:
    made = await api.create(SERVICES, service("a", type="NodePort"))
    store = api.server.resources.watch_cache.store
    second = APIServer(store=store, registry=registry.builtin(), clock=api.clock, **server_options)
    await second.start()
    assert second.backend.services.ports.used == {made["spec"]["ports"][0]["nodePort"]}
    assert second.backend.services.addresses.used == api.server.backend.services.addresses.used
    await second.close()


def test_a_pool_gives_each_number_once() -> None:
    pool = NumberPool(10, 19, 14)
    first = {pool.next() for _ in range(6)}
    assert first == set(range(14, 20)), "the upper part goes first"
    assert {pool.next() for _ in range(4)} == set(range(10, 14))
    with pytest.raises(Full):
        pool.next()
    pool.give_back(12)
    assert pool.next() == 12
    assert not pool.take(12)


def test_a_large_pool_is_used_up_completely_too() -> None:
    pool = NumberPool(0, 9999, 256)
    assert {pool.next() for _ in range(10_000)} == set(range(10_000))
