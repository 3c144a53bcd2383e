"""Devices in a whole cluster: partitions, shares, extended resources, devices that must be prepared, taints."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import Event, Node, Pod
from kybern.api.resource import DeviceClass, DeviceTaintRule, ResourceClaim, ResourceClaimTemplate, ResourceSlice
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig
from tests.controllers.test_cluster import all_of, create, until

pytestmark = pytest.mark.anyio

DRIVER = "gpu.example.com"


@pytest.fixture
def kybern_config() -> Config:
    return Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(count=2))


async def offer(cluster: Cluster, *devices: dict[str, Any], **spec: Any) -> None:
    """A class and a slice of devices on the cluster's first node."""
    node = all_of(cluster, Node)[0].metadata.name
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    plain: dict[str, Any] = {"metadata": {"name": "gpu"}, "spec": {"selectors": [selector]} | spec}
    await cluster.client.create(types.from_plain(DeviceClass, plain))
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    plain = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": list(devices)}
    await cluster.client.create(types.from_plain(ResourceSlice, {"metadata": {"name": "s"}, "spec": plain}))


def wanting(name: str, **resources: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i", "resources": resources or {"claims": [{"name": "gpu"}]}}]
    claims = [] if resources else [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, "resourceClaims": claims}}


async def template(cluster: Cluster, **exactly: Any) -> None:
    requests = [{"name": "r", "exactly": {"deviceClassName": "gpu"} | exactly}]
    spec = {"spec": {"devices": {"requests": requests}}}
    await create(cluster, ResourceClaimTemplate, {"metadata": {"name": "t"}, "spec": spec})


def up(cluster: Cluster) -> list[str]:
    return sorted(p.metadata.name for p in all_of(cluster, Pod, "default") if p.status.phase == "Running")


def why(cluster: Cluster, name: str) -> str:
    found = cluster.informers.informer(Pod).get(name, "default")
    conditions = (found.status.conditions if found is not None else None) or ()
    return next((c.message or "" for c in conditions if c.type == "PodScheduled"), "")


async def wait(cluster: Cluster, seconds: float) -> None:
    clock: Any = cluster.clock
    await clock.advance(seconds)


async def test_pods_share_a_device_until_it_is_used_up(kybern_cluster: Cluster) -> None:
    capacity = {"memory": {"value": "10Gi", "requestPolicy": {"default": "1Gi", "validValues": ["1Gi", "4Gi"]}}}
    await offer(kybern_cluster, {"name": "a", "allowMultipleAllocations": True, "capacity": capacity})
    await template(kybern_cluster, capacity={"requests": {"memory": "3Gi"}})
    for name in ("p0", "p1", "p2"):
        await create(kybern_cluster, Pod, wanting(name))
    await until(kybern_cluster, lambda: len(up(kybern_cluster)) == 2)
    results = [
        result
        for claim in all_of(kybern_cluster, ResourceClaim)
        if claim.status.allocation is not None
        for result in claim.status.allocation.devices.results
    ]
    assert [r.consumedCapacity for r in results] == [{"memory": "4Gi"}] * 2
    assert len({r.shareID for r in results}) == 2
    await wait(kybern_cluster, 30)
    assert len(up(kybern_cluster)) == 2
    await kybern_cluster.client.delete(Pod, up(kybern_cluster)[0], "default")
    await until(kybern_cluster, lambda: "p2" in up(kybern_cluster) and len(up(kybern_cluster)) == 2)


@pytest.mark.parametrize("resource", ["example.com/gpu", "deviceclass.resource.kubernetes.io/gpu"])
async def test_an_extended_resource_is_served_by_devices(kybern_cluster: Cluster, resource: str) -> None:
    await offer(kybern_cluster, {"name": "a"}, {"name": "b"}, extendedResourceName="example.com/gpu")
    amounts = {"requests": {resource: "2"}, "limits": {resource: "2"}}
    await create(kybern_cluster, Pod, wanting("p", **amounts))
    await create(kybern_cluster, Pod, wanting("q", **amounts))
    await until(kybern_cluster, lambda: len(up(kybern_cluster)) == 1)
    [first] = up(kybern_cluster)
    [claim] = all_of(kybern_cluster, ResourceClaim)
    assert claim.metadata.name.startswith(f"{first}-extended-resources-")
    assert [r.device for r in claim.status.allocation.devices.results] == ["a", "b"]
    told = (await kybern_cluster.client.get(Pod, first, "default")).status.extendedResourceClaimStatus
    assert told.resourceClaimName == claim.metadata.name
    assert [(m.containerName, m.resourceName, m.requestName) for m in told.requestMappings] == [
        ("c", resource, "container-0-request-0")
    ]
    await kybern_cluster.client.delete(Pod, first, "default")
    await until(kybern_cluster, lambda: len(up(kybern_cluster)) == 1 and first not in up(kybern_cluster))
    await kybern_cluster.client.delete(Pod, up(kybern_cluster)[0], "default")
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, ResourceClaim))


async def test_a_node_that_has_the_resource_itself_makes_no_claim(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a"}, extendedResourceName="example.com/gpu")
    for node in all_of(kybern_cluster, Node):
        amount = {"example.com/gpu": "4"}
        patch = {"status": {"capacity": amount, "allocatable": amount}}
        await kybern_cluster.client.patch(Node, node.metadata.name, "", patch, type="merge", subresource="status")
    amounts = {"requests": {"example.com/gpu": "2"}, "limits": {"example.com/gpu": "2"}}
    await create(kybern_cluster, Pod, wanting("p", **amounts))
    await until(kybern_cluster, lambda: bool(up(kybern_cluster)))
    assert all_of(kybern_cluster, ResourceClaim) == []


async def report(cluster: Cluster, condition: str) -> None:
    """As the driver does it: a condition of the claim's device."""
    [claim] = all_of(cluster, ResourceClaim)
    [result] = claim.status.allocation.devices.results
    told = {
        "type": condition,
        "status": "True",
        "reason": "Ok",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    changed = types.to_plain(claim)
    device = {"driver": result.driver, "pool": result.pool, "device": result.device, "conditions": [told]}
    changed["status"]["devices"] = [device]
    await cluster.client.update_status(types.from_plain(ResourceClaim, changed))


def allocated(cluster: Cluster) -> bool:
    return [c.status.allocation is not None for c in all_of(cluster, ResourceClaim)] == [True]


PREPARED = {"name": "a", "bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}


async def test_a_pod_is_bound_when_its_device_is_prepared(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, PREPARED)
    await template(kybern_cluster)
    await create(kybern_cluster, Pod, wanting("p"))
    await until(kybern_cluster, lambda: allocated(kybern_cluster))
    await wait(kybern_cluster, 60)
    assert up(kybern_cluster) == []
    assert all_of(kybern_cluster, ResourceClaim)[0].status.allocation.allocationTimestamp
    await report(kybern_cluster, "Attached")
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])


async def test_a_device_that_cannot_be_prepared_is_given_back(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, PREPARED)
    await template(kybern_cluster)
    await create(kybern_cluster, Pod, wanting("p"))
    await until(kybern_cluster, lambda: allocated(kybern_cluster))
    before = all_of(kybern_cluster, ResourceClaim)[0].status.allocation.allocationTimestamp
    await wait(kybern_cluster, 5)
    await report(kybern_cluster, "Broken")
    await until(
        kybern_cluster,
        lambda: (
            allocated(kybern_cluster)
            and all_of(kybern_cluster, ResourceClaim)[0].status.allocation.allocationTimestamp != before
        ),
    )
    assert not all_of(kybern_cluster, ResourceClaim)[0].status.devices
    await report(kybern_cluster, "Attached")
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])


async def test_the_alternative_that_is_liked_best_decides_the_node(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a", "attributes": {"model": {"string": "small"}}})
    last = all_of(kybern_cluster, Node)[-1].metadata.name
    pool = {"name": last, "generation": 1, "resourceSliceCount": 1}
    large = {"name": "b", "attributes": {"model": {"string": "large"}}}
    plain = {"driver": DRIVER, "nodeName": last, "pool": pool, "devices": [large]}
    await kybern_cluster.client.create(types.from_plain(ResourceSlice, {"metadata": {"name": "z"}, "spec": plain}))

    def sub(name: str) -> dict[str, Any]:
        expression = f'device.attributes["{DRIVER}"].model == "{name}"'
        return {"name": name, "deviceClassName": "gpu", "selectors": [{"cel": {"expression": expression}}]}

    requests = [{"name": "r", "firstAvailable": [sub("large"), sub("small")]}]
    spec = {"spec": {"devices": {"requests": requests}}}
    await create(kybern_cluster, ResourceClaimTemplate, {"metadata": {"name": "t"}, "spec": spec})
    for name, device in (("p", "b"), ("q", "a")):
        await create(kybern_cluster, Pod, wanting(name))
        await until(kybern_cluster, lambda name=name: name in up(kybern_cluster))
        results = [
            result.device
            for claim in all_of(kybern_cluster, ResourceClaim)
            if claim.metadata.name.startswith(name)
            for result in claim.status.allocation.devices.results
        ]
        assert results == [device]


SICK = {"key": "sick", "effect": "NoExecute"}


async def taint_all(cluster: Cluster, **taint: Any) -> None:
    spec = {"deviceSelector": {"driver": DRIVER}, "taint": SICK | taint}
    await cluster.client.create(types.from_plain(DeviceTaintRule, {"metadata": {"name": "r"}, "spec": spec}))


async def progress(cluster: Cluster) -> tuple[str, str, str]:
    rule = await cluster.client.get(DeviceTaintRule, "r")
    [condition] = rule.status.conditions
    assert condition.type == "EvictionInProgress"
    return condition.status, condition.reason, condition.message


async def test_pods_leave_a_device_that_an_administrator_taints(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a"})
    await template(kybern_cluster)
    await create(kybern_cluster, Pod, wanting("p"))
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])
    await taint_all(kybern_cluster, effect="None")
    await wait(kybern_cluster, 15)
    status, reason, message = await progress(kybern_cluster)
    assert (status, reason) == ("False", "NoEffect")
    assert "1 allocated device selected. 1 pod would be evicted in 1 namespace if the effect was NoExecute." in message
    patch = {"spec": {"taint": {"effect": "NoExecute"}}}
    await kybern_cluster.client.patch(DeviceTaintRule, "r", "", patch, type="merge")
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, Pod, "default"))
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, ResourceClaim))
    await wait(kybern_cluster, 20)
    assert await progress(kybern_cluster) == ("False", "Completed", "1 pod evicted since starting the controller.")
    await create(kybern_cluster, Pod, wanting("q"))
    await wait(kybern_cluster, 20)
    assert "cannot allocate all claims" in why(kybern_cluster, "q")
    await kybern_cluster.client.delete(DeviceTaintRule, "r")
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["q"])


async def test_a_toleration_of_a_taint_ends_when_it_says_so(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a"})
    await template(kybern_cluster, tolerations=[{"key": "sick", "operator": "Exists", "tolerationSeconds": 60}])
    await create(kybern_cluster, Pod, wanting("p"))
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])
    await taint_all(kybern_cluster)
    await wait(kybern_cluster, 50)
    assert up(kybern_cluster) == ["p"]
    assert (await progress(kybern_cluster))[1] == "PodsPendingEviction"
    await wait(kybern_cluster, 60)
    assert not up(kybern_cluster)


async def test_a_taint_that_the_driver_takes_back_in_time_evicts_nobody(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a"})
    await template(kybern_cluster, tolerations=[{"key": "sick", "operator": "Exists", "tolerationSeconds": 60}])
    await create(kybern_cluster, Pod, wanting("p"))
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])
    tainted = {"spec": {"devices": [{"name": "a", "taints": [SICK]}]}}
    made = await kybern_cluster.client.patch(ResourceSlice, "s", "", tainted, type="merge")
    assert made.spec.devices[0].taints[0].timeAdded
    await wait(kybern_cluster, 30)
    await kybern_cluster.client.patch(ResourceSlice, "s", "", {"spec": {"devices": [{"name": "a"}]}}, type="merge")
    await wait(kybern_cluster, 120)
    assert up(kybern_cluster) == ["p"]


async def test_a_pod_waits_for_its_claims_without_a_word(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a"})
    await create(kybern_cluster, Pod, wanting("p"))
    await wait(kybern_cluster, 5)
    await template(kybern_cluster)
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])
    reasons = [e.reason for e in (await kybern_cluster.client.list(Event, "default")).items]
    assert "Scheduled" in reasons
    assert "FailedScheduling" not in reasons


async def test_a_class_that_comes_later_serves_pods_that_wait_for_its_resource(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Pod, wanting("p", limits={"example.com/gpu": "1"}))
    await until(kybern_cluster, lambda: "Insufficient example.com/gpu" in why(kybern_cluster, "p"))
    await offer(kybern_cluster, {"name": "a"}, extendedResourceName="example.com/gpu")
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"], 60)


async def test_pods_join_a_claim_as_long_as_its_devices_taints_are_tolerated(kybern_cluster: Cluster) -> None:
    await offer(kybern_cluster, {"name": "a"})
    tolerations = [{"key": "sick", "operator": "Exists", "tolerationSeconds": 600}]
    exactly = {"deviceClassName": "gpu", "tolerations": tolerations}
    spec = {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}
    await create(kybern_cluster, ResourceClaim, {"metadata": {"name": "shared"}, "spec": spec})

    async def join(name: str) -> None:
        plain = wanting(name)
        plain["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "shared"}]
        await create(kybern_cluster, Pod, plain)

    await join("p")
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p"])
    await taint_all(kybern_cluster)
    await join("tolerant")
    await until(kybern_cluster, lambda: up(kybern_cluster) == ["p", "tolerant"])
    await kybern_cluster.client.patch(
        DeviceTaintRule, "r", "", {"spec": {"taint": {"key": "worse", "effect": "NoSchedule"}}}, type="merge"
    )
    await join("unhurt")
    await until(kybern_cluster, lambda: "unhurt" in up(kybern_cluster))
    await kybern_cluster.client.delete(DeviceTaintRule, "r")
