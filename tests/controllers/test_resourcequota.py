"""ResourceQuotas are counted right, raised at once and lowered only when no charge is under way."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from kybern.api import quota, types
from kybern.api.core import ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota, Service
from kybern.testing.world import World
from kybern_controllers_cluster.resourcequota import ResourceQuotaController

pytestmark = pytest.mark.anyio


def limited(hard: dict[str, str], name: str = "q", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"hard": hard} | spec}


def pod(name: str, cpu: str = "", status: str = "", **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": "i"}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]} | spec, "status": {"phase": status}}


def used(world: World, name: str = "q") -> dict[str, str]:
    found = next(q for q in world.all(ResourceQuota) if q.metadata.name == name)
    return found.status.used or {}


USAGES: list[tuple[type[Any], str, dict[str, Any], dict[str, str]]] = [
    (ConfigMap, "configmaps", {}, {"configmaps": "1", "count/configmaps": "1"}),
    (
        Service,
        "services",
        {"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}},
        {"services": "1", "count/services": "1", "services.nodeports": "2", "services.loadbalancers": "1"},
    ),
    (
        Service,
        "services",
        {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 1}]}},
        {"services": "1", "count/services": "1", "services.nodeports": "0", "services.loadbalancers": "1"},
    ),
    (
        PersistentVolumeClaim,
        "persistentvolumeclaims",
        {"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "2Gi"}}}},
        {
            "persistentvolumeclaims": "1",
            "count/persistentvolumeclaims": "1",
            "requests.storage": "2Gi",
            "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        },
    ),
    (
        Service,
        "services",
        {"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}},
        {"services": "1", "count/services": "1", "services.nodeports": "2", "services.loadbalancers": "0"},
    ),
    (Pod, "pods", {"status": {"phase": "Succeeded"}}, {"count/pods": "1"}),
    (
        Pod,
        "pods",
        {
            "spec": {
                "containers": [
                    {"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "x.io/gpu": "1"}}},
                    {"name": "b", "resources": {"requests": {"cpu": "500m", "x.io/gpu": "1"}}},
                ],
                "initContainers": [{"name": "i", "resources": {"requests": {"memory": "1Gi"}}}],
                "overhead": {"cpu": "250m"},
            }
        },
        {
            "count/pods": "1",
            "pods": "1",
            "cpu": "1750m",
            "requests.cpu": "1750m",
            "limits.cpu": "2250m",
            "memory": "1Gi",
            "requests.memory": "1Gi",
            "requests.x.io/gpu": "1",
        },
    ),
]


@pytest.mark.parametrize(("kind", "plural", "data", "expected"), USAGES)
def test_what_an_object_is_charged_for(
    kind: type[Any], plural: str, data: dict[str, Any], expected: dict[str, str]
) -> None:
    charged = quota.usage("", plural, types.from_plain(kind, {"metadata": {"name": "o"}} | data), 0)
    assert {name: quota.shown(name, amount) for name, amount in charged.items()} == expected


def test_a_pod_past_its_grace_is_charged_no_more() -> None:
    going = {"deletionTimestamp": "1970-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30}
    found = types.from_plain(Pod, {"metadata": {"name": "p"} | going, "spec": {"containers": [{"name": "c"}]}})
    assert quota.usage("", "pods", found, 90)["pods"] == Fraction(1)
    assert "pods" not in quota.usage("", "pods", found, 91)


@pytest.mark.parametrize(
    ("wanted", "held", "more", "cpu"),
    [
        ("1", {"resources": {"requests": {"cpu": "1"}}}, {}, "1"),
        ("1", {"resources": {"requests": {"cpu": "2"}}}, {}, "2"),
        ("1", {"resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "1500m"}}, {}, "1500m"),
        ("3", {"resources": {"requests": {"cpu": "2"}}}, {}, "3"),
        ("3", {"resources": {"requests": {"cpu": "2"}}},
         {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]}, "2"),
        ("1", {}, {}, "1"),
    ],
    ids=["no resize", "shrinking", "promised", "growing", "never fits", "not started"],
)  # fmt: skip
def test_a_pod_that_is_resized_is_charged_for_what_it_wants_and_for_what_it_holds(
    wanted: str, held: dict[str, Any], more: dict[str, Any], cpu: str
) -> None:
    container = {"name": "c", "resources": {"requests": {"cpu": wanted}}}
    status = {
        "containerStatuses": [{"name": "c", "image": "x", "imageID": "", "ready": True, "restartCount": 0, **held}]
    }
    made = {"metadata": {"name": "p"}, "spec": {"containers": [container]}, "status": status | more}
    charged = quota.usage("", "pods", types.from_plain(Pod, made), 0)
    assert quota.shown("requests.cpu", charged["requests.cpu"]) == cpu


SCOPES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, True),
    ({"scopes": ["Terminating"]}, {}, False),
    ({"scopes": ["NotTerminating", "BestEffort"]}, {}, True),
    ({"scopes": ["NotBestEffort"]}, {}, False),
    ({"scopes": ["PriorityClass"]}, {}, False),
    ({"scopes": ["PriorityClass"]}, {"priorityClassName": "high"}, True),
    (
        {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
        {"priorityClassName": "low"},
        False,
    ),
    (
        {
            "scopeSelector": {
                "matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]
            }
        },
        {"priorityClassName": "low"},
        True,
    ),
    (
        {"scopes": ["CrossNamespacePodAffinity"]},
        {
            "affinity": {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"], "topologyKey": "k"}]
                }
            }
        },
        True,
    ),
    (
        {"scopes": ["CrossNamespacePodAffinity"]},
        {
            "affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"namespaceSelector": {}, "topologyKey": "k"}}
                    ]
                }
            }
        },
        True,
    ),
    (
        {"scopes": ["CrossNamespacePodAffinity"]},
        {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}]}}},
        False,
    ),
    ({"scopes": ["VolumeAttributesClass"]}, {}, False),
]


@pytest.mark.parametrize(("spec", "of_pod", "expected"), SCOPES)
def test_scopes(spec: dict[str, Any], of_pod: dict[str, Any], expected: bool) -> None:
    found = types.from_plain(ResourceQuota, {"metadata": {"name": "q"}, "spec": spec})
    assert quota.matches(found, "", "pods", types.from_plain(Pod, pod("p", **of_pod))) is expected


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ({"spec": {}}, False),
        ({"spec": {"volumeAttributesClassName": "fast"}}, True),
        ({"spec": {}, "status": {"currentVolumeAttributesClassName": "fast"}}, True),
        ({"spec": {}, "status": {"modifyVolumeStatus": {"status": "Pending", "targetVolumeAttributesClassName": "fast"}}}, True),
    ],
    ids=["none", "asks for it", "has it", "is given it"],
)  # fmt: skip
def test_a_claim_counts_for_each_attributes_class_it_is_near(claim: dict[str, Any], expected: bool) -> None:
    scope = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}
    found = types.from_plain(ResourceQuota, {
        "metadata": {"name": "q"}, "spec": {"scopeSelector": {"matchExpressions": [scope]}}
    })  # fmt: skip
    made = types.from_plain(PersistentVolumeClaim, {"metadata": {"name": "c"}} | claim)
    assert quota.matches(found, "", "persistentvolumeclaims", made) is expected


def test_a_claim_for_devices_is_charged_for_its_dearest_alternative() -> None:
    from kybern.api.resource import ResourceClaim

    requests = [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "count": 2}},
        {"name": "b", "firstAvailable": [{"name": "many", "deviceClassName": "gpu", "count": 4},
                                         {"name": "few", "deviceClassName": "gpu", "count": 1},
                                         {"name": "all", "deviceClassName": "nic", "allocationMode": "All"}]},
    ]  # fmt: skip
    claim = types.from_plain(ResourceClaim, {"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}})
    charged = quota.usage("resource.k8s.io", "resourceclaims", claim, 0)
    by_class = ".deviceclass.resource.k8s.io/devices"
    assert (charged[f"gpu{by_class}"], charged[f"nic{by_class}"]) == (6, 32)


def test_a_claim_that_shrinks_back_is_charged_for_what_was_allocated() -> None:
    made = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    made["status"] = {"allocatedResources": {"storage": "3Gi"}}
    charged = quota.usage("", "persistentvolumeclaims", types.from_plain(PersistentVolumeClaim, made), 0)
    assert quota.shown("requests.storage", charged["requests.storage"]) == "3Gi"


async def test_a_pod_that_changes_its_scope_is_counted_anew(world: World) -> None:
    ending = limited({"pods": "2"})
    ending["spec"]["scopes"] = ["Terminating"]
    await world.apply(ResourceQuota, ending)
    await world.apply(Pod, pod("p"))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
        assert used(world) == {"pods": "0"}
        await world.client.patch(Pod, "p", "default", {"spec": {"activeDeadlineSeconds": 9}})
        await world.settle(2)
        assert used(world) == {"pods": "1"}


async def test_status_follows_the_objects(world: World) -> None:
    await world.apply(ConfigMap, {"metadata": {"name": "a"}})
    await world.apply(ResourceQuota, limited({"configmaps": "3", "pods": "2", "requests.cpu": "1", "secrets": "0"}))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
        assert used(world) == {"configmaps": "1", "pods": "0", "requests.cpu": "0", "secrets": "0"}
        await world.apply(Pod, pod("p", "300m"))
        await world.settle(2)
        assert used(world) == {"configmaps": "1", "pods": "1", "requests.cpu": "300m", "secrets": "0"}
        await world.client.delete(ConfigMap, "a", "default")
        await world.client.delete(Pod, "p", "default")
        await world.settle(2)
        assert used(world) == {"configmaps": "0", "pods": "0", "requests.cpu": "0", "secrets": "0"}
        assert world.all(ResourceQuota)[0].status.hard["secrets"] == "0"


async def test_a_finished_pod_gives_back_what_it_took(world: World) -> None:
    await world.apply(ResourceQuota, limited({"pods": "2", "count/pods": "5"}))
    found = await world.apply(Pod, pod("p"))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
        assert used(world) == {"pods": "1", "count/pods": "1"}
        await world.set_status(found, lambda p: setattr(p.status, "phase", "Succeeded"))
        await world.settle(2)
        assert used(world) == {"pods": "0", "count/pods": "1"}


async def test_a_charge_whose_object_is_not_there_yet_is_not_taken_back_at_once(world: World) -> None:
    await world.apply(ResourceQuota, limited({"configmaps": "5"}))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
        await world.set_status(world.all(ResourceQuota)[0], lambda q: setattr(q.status, "used", {"configmaps": "2"}))
        await world.settle(0.5)
        await world.apply(ConfigMap, {"metadata": {"name": "a"}})
        await world.settle(0.4)
        assert used(world) == {"configmaps": "2"}
        await world.settle(2)
        assert used(world) == {"configmaps": "1"}


async def test_killed_right_after_a_charge_it_still_waits(world: World) -> None:
    await world.apply(ResourceQuota, limited({"configmaps": "5"}))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
    await world.set_status(world.all(ResourceQuota)[0], lambda q: setattr(q.status, "used", {"configmaps": "2"}))
    async with world.running(ResourceQuotaController()):
        await world.settle(0.5)
        assert used(world) == {"configmaps": "2"}
        await world.settle(2)
        assert used(world) == {"configmaps": "0"}


async def test_entries_that_are_dropped_from_the_spec_go_from_the_status(world: World) -> None:
    await world.apply(ResourceQuota, limited({"configmaps": "5", "pods": "1"}))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
        patch = {"spec": {"hard": {"pods": None, "configmaps": "7"}}}
        await world.client.patch(ResourceQuota, "q", "default", patch)
        await world.settle(2)
        status = world.all(ResourceQuota)[0].status
        assert (status.hard, status.used) == ({"configmaps": "7"}, {"configmaps": "0"})


async def test_kinds_that_nobody_serves_are_left_open(world: World) -> None:
    await world.apply(ResourceQuota, limited({"count/unicorns.example.com": "1", "configmaps": "1"}))
    async with world.running(ResourceQuotaController()):
        await world.settle(2)
        assert used(world) == {"configmaps": "0"}


async def test_at_rest_nothing_is_written(world: World) -> None:
    await world.apply(ResourceQuota, limited({"configmaps": "5", "pods": "1"}))
    await world.apply(Pod, pod("p"))
    async with world.running(ResourceQuotaController()):
        await world.settle(5)
        world.took()
        await world.settle(1000)
        assert world.took() == []
