"""EndpointSlices and Endpoints follow the pods behind a Service."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Endpoints, Node, Pod, PodIP, Service
from kybern.api.discovery import EndpointSlice
from kybern.api.errors import StatusError
from kybern.testing.world import World
from kybern_controllers_cluster.endpoints import EndpointsController
from kybern_controllers_cluster.endpointslice import EndpointSliceController

pytestmark = pytest.mark.anyio


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    base = {"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "ports": ports}
    return {"metadata": {"name": name, "labels": {"team": "a"}}, "spec": base | spec}


async def pod(world: World, name: str, address: str = "10.0.0.1", *, ready: bool = True, **spec: Any) -> Any:
    container = {"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 9090}]}
    made = await world.apply(
        Pod, {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [container]} | spec}
    )

    def change(p: Any) -> None:
        p.status.podIP = address.split(",")[0] or None
        p.status.podIPs = [PodIP(ip=ip) for ip in address.split(",") if ip]

    if address:
        await world.set_status(made, change)
    if ready:
        await world.make_ready([made])
    await world.settle()
    return made


def addresses(world: World) -> dict[str, str]:
    """Address -> r(eady) s(erving) t(erminating)."""
    found = {}
    for endpoint in (e for s in world.all(EndpointSlice) for e in s.endpoints or ()):
        says = endpoint.conditions
        letters = zip("rst", (says.ready, says.serving, says.terminating), strict=True)
        found[endpoint.addresses[0]] = "".join(letter for letter, yes in letters if yes)
    return found


async def test_a_service_without_pods_has_one_empty_slice(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointSliceController()):
        (found,) = world.all(EndpointSlice)
        assert found.endpoints in (None, []) and found.ports is None and found.addressType == "IPv4"
        assert found.metadata.labels == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert found.metadata.ownerReferences[0].kind == "Service"
        assert found.metadata.name.startswith("web-")


async def test_pods_come_become_ready_and_go(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointSliceController()):
        one = await pod(world, "one", ready=False)
        assert addresses(world) == {"10.0.0.1": ""}
        await world.make_ready([one])
        await world.settle()
        assert addresses(world) == {"10.0.0.1": "rs"}
        await world.client.patch(Pod, "one", "default", {"metadata": {"finalizers": ["x/y"]}})
        await world.client.delete(Pod, "one", "default")
        await world.settle()
        assert addresses(world) == {"10.0.0.1": "st"}
        await world.client.remove(Pod, "one", "default")
        await world.settle()
        assert addresses(world) == {}
        assert len(world.all(EndpointSlice)) == 1


async def test_an_endpoint_says_where_it_is(world: World) -> None:
    node = {"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z1"}}}
    await world.client.create(types.from_plain(Node, node))
    await world.apply(Service, service(clusterIP="None"))
    async with world.running(EndpointSliceController()):
        await pod(world, "one", nodeName="n", hostname="db-0", subdomain="web")
        (found,) = world.all(EndpointSlice)
        (endpoint,) = found.endpoints
        assert (endpoint.nodeName, endpoint.zone, endpoint.hostname) == ("n", "z1", "db-0")
        assert (endpoint.targetRef.kind, endpoint.targetRef.name) == ("Pod", "one")
        assert [(p.name, p.port, p.protocol) for p in found.ports] == [("http", 8080, "TCP")]
        assert found.metadata.labels["service.kubernetes.io/headless"] == ""


async def test_a_pod_on_a_node_that_is_not_there_waits_for_it(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointSliceController()):
        await pod(world, "one", nodeName="late")
        assert addresses(world) == {}
        await world.client.create(types.from_plain(Node, {"metadata": {"name": "late"}}))
        await world.settle()
        assert addresses(world) == {"10.0.0.1": "rs"}


async def test_named_ports_are_looked_up_in_each_pod(world: World) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    await world.apply(Service, service(ports=ports))
    async with world.running(EndpointSliceController()):
        await pod(world, "one")
        other = [{"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 7070}]}]
        await pod(world, "two", "10.0.0.2", containers=other)
        by_port = {s.ports[0].port: s.endpoints[0].addresses for s in world.all(EndpointSlice)}
        assert by_port == {9090: ["10.0.0.1"], 7070: ["10.0.0.2"]}


async def test_both_families_have_slices_of_their_own(world: World) -> None:
    both = service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")
    both["metadata"] |= {"namespace": "default", "uid": "u"}
    await world.client.put(types.from_plain(Service, both))  # this server has addresses of one family
    async with world.running(EndpointSliceController()):
        await pod(world, "one", "10.0.0.1,fd00::1")
        found = {s.addressType: s.endpoints[0].addresses for s in world.all(EndpointSlice)}
        assert found == {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"]}


async def test_publish_not_ready_addresses(world: World) -> None:
    await world.apply(Service, service(publishNotReadyAddresses=True))
    async with world.running(EndpointSliceController()):
        await pod(world, "one", ready=False)
        assert addresses(world) == {"10.0.0.1": "r"}


async def test_traffic_distribution_gives_hints(world: World) -> None:
    node = {"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z1"}}}
    await world.client.create(types.from_plain(Node, node))
    await world.apply(Service, service(trafficDistribution="PreferSameNode"))
    async with world.running(EndpointSliceController()):
        await pod(world, "one", nodeName="n")
        hints = world.all(EndpointSlice)[0].endpoints[0].hints
        assert [z.name for z in hints.forZones] == ["z1"]
        assert [n.name for n in hints.forNodes] == ["n"]


async def test_a_slice_holds_a_hundred_and_endpoints_stay_where_they_are(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointSliceController()):
        for number in range(150):
            await pod(world, f"p{number}", f"10.0.1.{number}")
        await world.settle(1)
        before = [len(s.endpoints) for s in world.all(EndpointSlice)]
        assert len(before) == 2 and sum(before) == 150 and max(before) <= 100
        world.took()
        await world.client.remove(Pod, "p3", "default")
        await world.settle(1)
        writes = world.took()
        assert len(writes) == 1 and writes[0].startswith("update EndpointSlice")
        await pod(world, "again", "10.0.2.1")
        await world.settle(1)
        assert sum(len(s.endpoints) for s in world.all(EndpointSlice)) == 150
        assert len(world.all(EndpointSlice)) == 2


async def test_at_rest_it_writes_nothing(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointSliceController(), EndpointsController()):
        one = await pod(world, "one")
        world.took()
        await world.client.patch(Pod, "one", "default", {"metadata": {"annotations": {"a": "b"}}})
        await world.make_ready([one])
        await world.settle(600)
        assert [a for a in world.took() if "Endpoint" in a] == []
    async with world.running(EndpointSliceController(), EndpointsController()):
        await world.settle(60)
        assert [a for a in world.took() if "Endpoint" in a] == []


async def test_a_service_without_selector_or_by_name_only_is_left_alone(world: World) -> None:
    by_name = {"type": "ExternalName", "externalName": "example.com", "selector": {"app": "web"}}
    await world.apply(Service, service(selector=None))
    await world.apply(Service, {"metadata": {"name": "other"}, "spec": by_name})
    async with world.running(EndpointSliceController(), EndpointsController()):
        await pod(world, "one")
        assert world.all(EndpointSlice) == [] and world.all(Endpoints) == []


async def test_endpoints_tell_ready_from_not_ready(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointsController()):
        await pod(world, "one")
        await pod(world, "two", "10.0.0.2", ready=False)
        (found,) = world.all(Endpoints)
        (subset,) = found.subsets
        assert [a.ip for a in subset.addresses] == ["10.0.0.1"]
        assert [a.ip for a in subset.notReadyAddresses] == ["10.0.0.2"]
        assert [(p.name, p.port) for p in subset.ports] == [("http", 8080)]
        assert found.metadata.labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"
        await world.client.delete(Service, "web", "default")
        await world.settle()
        assert world.all(Endpoints) == []


async def test_endpoints_leave_out_pods_that_end_or_have_no_address(world: World) -> None:
    await world.apply(Service, service())
    async with world.running(EndpointsController()):
        await pod(world, "none", "", ready=False)
        await pod(world, "done")
        done = await world.client.get(Pod, "done", "default")
        await world.set_status(done, lambda p: setattr(p.status, "phase", "Succeeded"))
        await world.settle()
        assert world.all(Endpoints)[0].subsets is None


async def test_addresses_that_lack_a_port_stand_with_the_others_under_those_they_have(world: World) -> None:
    ports = [{"name": "http", "port": 80}, {"name": "extra", "port": 81, "targetPort": "web"}]
    await world.apply(Service, service(ports=ports))
    async with world.running(EndpointsController()):
        await pod(world, "both")
        await pod(world, "one", "10.0.0.2", containers=[{"name": "c", "image": "i"}])
        subsets = world.all(Endpoints)[0].subsets
        said = {tuple(p.name for p in s.ports): [a.ip for a in s.addresses] for s in subsets}
        assert said == {("extra",): ["10.0.0.1"], ("http",): ["10.0.0.1", "10.0.0.2"]}


@pytest.mark.parametrize(
    ("controller", "kind"), [(EndpointsController, Endpoints), (EndpointSliceController, EndpointSlice)]
)
async def test_the_time_of_what_changed_them_is_told(world: World, controller: Any, kind: type[Any]) -> None:
    def told() -> str | None:
        (found,) = world.all(kind)
        return (found.metadata.annotations or {}).get("endpoints.kubernetes.io/last-change-trigger-time")

    made = await world.apply(Service, service())
    await world.settle(10)
    async with world.running(controller()):
        assert told() == made.metadata.creationTimestamp
        await world.settle(10)
        one = await pod(world, "one")
        one = await world.client.get(Pod, "one", "default")
        assert told() == next(c.lastTransitionTime for c in one.status.conditions if c.type == "Ready")
    async with world.running(controller()):
        await world.client.remove(Pod, "one", "default")
        await world.settle(1)
        assert told() is None, "nor does a restart make it new what has been told"


@pytest.mark.parametrize(
    ("controller", "kind", "said"),
    [
        (EndpointsController, Endpoints, "FailedToCreateEndpoint Failed to create endpoint for service default/web: "),
        (
            EndpointSliceController,
            EndpointSlice,
            "FailedToUpdateEndpointSlices Error updating Endpoint Slices for Service default/web: ",
        ),
    ],
)
async def test_that_they_cannot_be_written_is_told(world: World, controller: Any, kind: type[Any], said: str) -> None:
    def refuse(verb: str, refused: type[Any], namespace: str, name: str) -> None:
        if refused is kind:
            raise StatusError(403, "Forbidden", "no more of these")

    await world.apply(Service, service())
    world.client.intercept = refuse
    async with world.running(controller()):
        await world.settle(1)
        assert any(event.startswith(f"Warning {said}") for event in world.events())
        world.client.intercept = None
        await world.settle(60)
        assert len(world.all(kind)) == 1
