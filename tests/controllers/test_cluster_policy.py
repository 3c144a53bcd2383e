"""Quotas, volumes and the like in a whole cluster: API server, admission, scheduler, fake nodes."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import Deployment, StatefulSet
from kybern.api.core import (
    ConfigMap,
    Endpoints,
    Event,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    Secret,
    Service,
)
from kybern.api.discovery import EndpointSlice
from kybern.api.errors import StatusError
from kybern.api.policy import PodDisruptionBudget
from kybern.api.resource import DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice
from kybern.api.storage import StorageClass
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig
from tests.controllers.rollouts import deployment
from tests.controllers.test_cluster import all_of, complete, create, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def kybern_config() -> Config:
    return Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(count=2))


def claim_spec(size: str = "1Gi") -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "nginx"}]} | spec}


def running(cluster: Cluster, *names: str) -> bool:
    found = {p.metadata.name: p.status.phase for p in all_of(cluster, Pod, "default")}
    return all(found.get(name) == "Running" for name in names)


async def test_a_stateful_set_with_claim_templates_comes_up_and_its_volumes_stay(kybern_cluster: Cluster) -> None:
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {
            "containers": [{"name": "c", "image": "db", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
        },
    }
    spec = {
        "replicas": 2,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim_spec()}],
    }
    await create(kybern_cluster, StatefulSet, {"metadata": {"name": "db"}, "spec": spec})
    await until(kybern_cluster, lambda: running(kybern_cluster, "db-0", "db-1"))
    claims = {c.metadata.name: c for c in all_of(kybern_cluster, PersistentVolumeClaim)}
    assert {name: c.status.phase for name, c in claims.items()} == {"data-db-0": "Bound", "data-db-1": "Bound"}
    assert {c.spec.storageClassName for c in claims.values()} == {"standard"}
    await kybern_cluster.client.delete(PersistentVolumeClaim, "data-db-0", "default")
    await kybern_cluster.client.delete(StatefulSet, "db", "default", propagation="Foreground")
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, Pod, "default"))
    await until(kybern_cluster, lambda: len(all_of(kybern_cluster, PersistentVolume)) == 1)
    assert [c.metadata.name for c in all_of(kybern_cluster, PersistentVolumeClaim)] == ["data-db-1"]


async def test_an_ephemeral_volume_comes_and_goes_with_its_pod(kybern_cluster: Cluster) -> None:
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}}]
    await create(kybern_cluster, Pod, pod("p", volumes=volumes))
    await until(kybern_cluster, lambda: running(kybern_cluster, "p"))
    await kybern_cluster.client.delete(Pod, "p", "default")
    await until(
        kybern_cluster,
        lambda: not all_of(kybern_cluster, PersistentVolumeClaim) and not all_of(kybern_cluster, PersistentVolume),
    )


def used(cluster: Cluster) -> dict[str, str]:
    found = all_of(cluster, ResourceQuota, "default")
    return (found[0].status.used or {}) if found else {}


async def test_concurrent_creates_never_exceed_a_quota(kybern_cluster: Cluster) -> None:
    hard = {"configmaps": "8"}
    await create(kybern_cluster, ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await until(kybern_cluster, lambda: "configmaps" in used(kybern_cluster))
    before = int(used(kybern_cluster)["configmaps"])

    async def one(i: int) -> str:
        try:
            await create(kybern_cluster, ConfigMap, {"metadata": {"name": f"c{i}"}})
        except StatusError as error:
            return error.message
        return ""

    for turn in range(3):
        answers = await asyncio.gather(*(one(100 * turn + i) for i in range(20)))
        there = [c for c in all_of(kybern_cluster, ConfigMap, "default") if c.metadata.name.startswith("c")]
        assert answers.count("") == (8 - before if turn == 0 else 2)
        assert all("exceeded quota: q, requested: configmaps=1" in answer for answer in answers if answer)
        assert len(all_of(kybern_cluster, ConfigMap, "default")) <= 8
        # A quota with room again: two go, and exactly two more fit, whatever the recount does meanwhile.
        for gone in there[:2]:
            await kybern_cluster.client.delete(ConfigMap, gone.metadata.name, "default")
        await until(kybern_cluster, lambda: used(kybern_cluster) == {"configmaps": "6"})


@pytest.mark.parametrize("seed", range(3))
async def test_a_quota_holds_at_every_moment_while_objects_come_and_go(kybern_cluster: Cluster, seed: int) -> None:
    """Creates and deletes race with the recount; at no moment is there more than the quota allows."""
    chance, hard = Random(seed), 6
    plain = {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": str(hard)}}}
    await create(kybern_cluster, ResourceQuota, plain)
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"count/secrets": "0"})
    there: set[str] = set()
    most = 0

    def seen(old: Any, new: Any) -> None:
        nonlocal most
        name = (new if new is not None else old).metadata.name
        (there.discard if new is None else there.add)(name)
        most = max(most, len(there))

    kybern_cluster.informers.informer(Secret).on_change(seen)

    async def act(name: str) -> None:
        try:
            if chance.random() < 0.6:
                await create(kybern_cluster, Secret, {"metadata": {"name": name}})
            elif there:
                await kybern_cluster.client.delete(Secret, chance.choice(sorted(there)), "default")
        except StatusError as error:
            if error.code not in (403, 404, 409):
                raise

    clock: Any = kybern_cluster.clock
    for turn in range(40):
        await asyncio.gather(*(act(f"s{turn}-{i}") for i in range(chance.randrange(6))))
        await clock.advance(chance.choice((0, 0.1, 0.3, 1.0, 2.0)))
    assert most == hard
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"count/secrets": str(len(there))})


async def test_a_refused_object_is_charged_only_for_a_moment(kybern_cluster: Cluster) -> None:
    hard = {"pods": "5", "requests.cpu": "2"}
    await create(kybern_cluster, ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"pods": "0", "requests.cpu": "0"})
    wanting = pod("p")
    wanting["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    await create(kybern_cluster, Pod, types.to_plain(types.from_plain(Pod, wanting)))
    with pytest.raises(StatusError, match="already exists"):
        await create(kybern_cluster, Pod, types.to_plain(types.from_plain(Pod, wanting)))
    with pytest.raises(StatusError, match=r"must specify requests\.cpu for: c"):
        await create(kybern_cluster, Pod, pod("greedy"))
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"pods": "1", "requests.cpu": "500m"})
    await kybern_cluster.client.delete(Pod, "p", "default")
    await until(kybern_cluster, lambda: used(kybern_cluster) == {"pods": "0", "requests.cpu": "0"})


async def offer_devices(cluster: Cluster, *names: str) -> None:
    """A device class and a slice of devices on the cluster's first node."""
    node = all_of(cluster, Node)[0].metadata.name
    selector = {"cel": {"expression": 'device.driver == "gpu.example.com"'}}
    plain = {"metadata": {"name": "gpu"}, "spec": {"selectors": [selector]}}
    await cluster.client.create(types.from_plain(DeviceClass, plain))
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.example.com", "nodeName": node, "pool": pool, "devices": [{"name": n} for n in names]}
    await cluster.client.create(types.from_plain(ResourceSlice, {"metadata": {"name": "s"}, "spec": spec}))


def wanting_device(name: str, **claim: str) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}]
    return pod(name, containers=containers, resourceClaims=[{"name": "gpu"} | claim])


WANTS_ONE = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}


async def test_pods_get_devices_of_their_own_and_the_next_one_when_they_are_done(kybern_cluster: Cluster) -> None:
    await offer_devices(kybern_cluster, "a", "b")
    await create(kybern_cluster, ResourceClaimTemplate, {"metadata": {"name": "t"}, "spec": {"spec": WANTS_ONE}})
    for name in ("p0", "p1", "p2"):
        await create(kybern_cluster, Pod, wanting_device(name, resourceClaimTemplateName="t"))

    def up() -> list[str]:
        return [p.metadata.name for p in all_of(kybern_cluster, Pod, "default") if p.status.phase == "Running"]

    await until(kybern_cluster, lambda: len(up()) == 2)
    devices = [
        result.device
        for claim in all_of(kybern_cluster, ResourceClaim)
        if claim.status.allocation is not None
        for result in claim.status.allocation.devices.results
    ]
    assert sorted(devices) == ["a", "b"]
    clock: Any = kybern_cluster.clock
    await clock.advance(60)
    assert len(up()) == 2
    first = up()[0]
    await kybern_cluster.client.delete(Pod, first, "default")
    await until(kybern_cluster, lambda: len(up()) == 2 and first not in up())
    for name in up():
        await kybern_cluster.client.delete(Pod, name, "default")
    await until(kybern_cluster, lambda: not all_of(kybern_cluster, ResourceClaim))


async def test_pods_share_a_claim(kybern_cluster: Cluster) -> None:
    await offer_devices(kybern_cluster, "a")
    await create(kybern_cluster, Pod, wanting_device("p0", resourceClaimName="shared"))
    await create(kybern_cluster, Pod, wanting_device("p1", resourceClaimName="shared"))
    await create(kybern_cluster, ResourceClaim, {"metadata": {"name": "shared"}, "spec": WANTS_ONE})
    await until(kybern_cluster, lambda: running(kybern_cluster, "p0", "p1"))
    [claim] = all_of(kybern_cluster, ResourceClaim)
    assert sorted(r.name for r in claim.status.reservedFor) == ["p0", "p1"]
    for name in ("p0", "p1"):
        await kybern_cluster.client.delete(Pod, name, "default")
    await until(kybern_cluster, lambda: [c.status.allocation for c in all_of(kybern_cluster, ResourceClaim)] == [None])


async def test_racing_evictions_never_go_below_the_budget(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Deployment, deployment(5))
    budget = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": "60%"}
    await create(kybern_cluster, PodDisruptionBudget, {"metadata": {"name": "web"}, "spec": budget})

    def allowed() -> int:
        return all_of(kybern_cluster, PodDisruptionBudget)[0].status.disruptionsAllowed or 0

    await until(kybern_cluster, lambda: complete(kybern_cluster) and allowed() == 2)

    async def evict(name: str) -> int:
        body = types.from_plain(types.struct("policy", "v1", "Eviction"), {"metadata": {"name": name}})
        try:
            await kybern_cluster.client.create_subresource(Pod, name, "default", "eviction", body)
        except StatusError as error:
            return error.code
        return 201

    names = [p.metadata.name for p in all_of(kybern_cluster, Pod, "default")]
    codes = await asyncio.gather(*map(evict, names))
    assert sorted(codes) == [201, 201, 429, 429, 429]
    marked = {
        c.reason
        for p in all_of(kybern_cluster, Pod, "default")
        for c in p.status.conditions or ()
        if c.type == "DisruptionTarget"
    }
    assert marked == {"EvictionByEvictionAPI"}
    await until(kybern_cluster, lambda: complete(kybern_cluster) and allowed() == 2)


async def test_endpoints_written_by_hand_are_mirrored_and_go_with_their_service(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Service, {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}})
    subsets = [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 5432}]}]
    await create(kybern_cluster, Endpoints, {"metadata": {"name": "db"}, "subsets": subsets})

    def slices() -> list[Any]:
        found = all_of(kybern_cluster, EndpointSlice, "default")
        return [s for s in found if (s.metadata.labels or {}).get("kubernetes.io/service-name") == "db"]

    await until(kybern_cluster, lambda: [e.addresses for s in slices() for e in s.endpoints] == [["10.1.1.1"]])
    await kybern_cluster.client.delete(Service, "db", "default")
    await until(kybern_cluster, lambda: not slices())


async def make_class(cluster: Cluster, name: str, provisioner: str) -> None:
    plain = {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    await cluster.client.create(types.from_plain(StorageClass, plain))


def using(name: str, claim: str) -> dict[str, Any]:
    return pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": claim}}])


async def test_a_claim_that_waits_for_its_pod_is_provisioned_for_the_pods_node(kybern_cluster: Cluster) -> None:
    await make_class(kybern_cluster, "late", "fake.kybern.dev")
    late = claim_spec() | {"storageClassName": "late"}
    await create(kybern_cluster, PersistentVolumeClaim, {"metadata": {"name": "c"}, "spec": late})
    clock: Any = kybern_cluster.clock
    await clock.advance(30)
    assert [c.status.phase for c in all_of(kybern_cluster, PersistentVolumeClaim)] == ["Pending"]
    await create(kybern_cluster, Pod, using("p", "c"))
    await until(kybern_cluster, lambda: running(kybern_cluster, "p"))
    [claim] = all_of(kybern_cluster, PersistentVolumeClaim)
    [placed] = all_of(kybern_cluster, Pod, "default")
    assert claim.status.phase == "Bound"
    assert claim.metadata.annotations["volume.kubernetes.io/selected-node"] == placed.spec.nodeName


async def test_a_local_volume_draws_the_pod_to_its_node(kybern_cluster: Cluster) -> None:
    await make_class(kybern_cluster, "local", "kubernetes.io/no-provisioner")
    node = all_of(kybern_cluster, Node)[0].metadata.name
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    gone = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["elsewhere"]}
    for name, place in (("near", here), ("far", gone)):
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [place]}]}},
        }
        volume = types.from_plain(PersistentVolume, {"metadata": {"name": name}, "spec": spec})
        await kybern_cluster.client.create(volume)
    local = claim_spec() | {"storageClassName": "local"}
    await create(kybern_cluster, PersistentVolumeClaim, {"metadata": {"name": "c"}, "spec": local})
    await create(kybern_cluster, Pod, using("p", "c"))
    await until(kybern_cluster, lambda: running(kybern_cluster, "p"))
    assert all_of(kybern_cluster, PersistentVolumeClaim)[0].spec.volumeName == "near"
    phases = {v.metadata.name: v.status.phase for v in all_of(kybern_cluster, PersistentVolume)}
    assert phases == {"near": "Bound", "far": "Available"}
    await kybern_cluster.client.delete(Pod, "p", "default")
    await kybern_cluster.client.delete(PersistentVolumeClaim, "c", "default")
    volumes = kybern_cluster.informers.informer(PersistentVolume)
    await until(kybern_cluster, lambda: volumes.get("near").status.phase == "Released")  # type: ignore[union-attr]


async def events(cluster: Cluster) -> list[tuple[str, str, str]]:
    """(object, reason, message)"""
    found = (await cluster.client.list(Event, "default")).items
    return [(e.involvedObject.name, e.reason, e.message) for e in found]


async def test_a_volume_for_one_node_keeps_a_pod_on_another_waiting(kybern_cluster: Cluster) -> None:
    """And the pod starts as soon as the first one has gone."""
    await create(kybern_cluster, PersistentVolumeClaim, {"metadata": {"name": "c"}, "spec": claim_spec()})
    first, second = (node.metadata.name for node in all_of(kybern_cluster, Node)[:2])
    for name, node in (("p", first), ("q", second)):
        plain = using(name, "c")
        plain["spec"]["nodeName"] = node
        await create(kybern_cluster, Pod, plain)
        if name == "p":
            await until(kybern_cluster, lambda: running(kybern_cluster, "p"))
    clock: Any = kybern_cluster.clock
    await clock.advance(150)
    assert not running(kybern_cluster, "q")
    told = {(reason, message) for name, reason, message in await events(kybern_cluster) if name == "q"}
    [volume] = all_of(kybern_cluster, PersistentVolume)
    text = f'Multi-Attach error for volume "{volume.metadata.name}" Volume is already used by pod(s) p'
    assert ("FailedAttachVolume", text) in told
    assert any("unmounted volumes=[v]" in message for reason, message in told if reason == "FailedMount")
    await kybern_cluster.client.delete(Pod, "p", "default")
    await until(kybern_cluster, lambda: running(kybern_cluster, "q"))


async def test_a_pod_past_the_scheduler_waits_for_its_claim_to_be_bound(kybern_cluster: Cluster) -> None:
    plain = using("p", "c")
    plain["spec"]["nodeName"] = all_of(kybern_cluster, Node)[0].metadata.name
    await create(kybern_cluster, Pod, plain)
    clock: Any = kybern_cluster.clock
    await clock.advance(5)
    told = {message for _, reason, message in await events(kybern_cluster) if reason == "FailedMount"}
    problem = 'failed to fetch PVC from API server: persistentvolumeclaims "c" not found'
    assert told == {f"Unable to attach or mount volumes: error processing PVC default/c: {problem}"}
    await create(kybern_cluster, PersistentVolumeClaim, {"metadata": {"name": "c"}, "spec": claim_spec()})
    await until(kybern_cluster, lambda: running(kybern_cluster, "p"))
