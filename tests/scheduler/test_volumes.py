"""Claims and volumes: which nodes are out of reach, and claims that wait for their pod."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import PersistentVolume, PersistentVolumeClaim
from kybern.api.storage import CSIDriver, CSINode, CSIStorageCapacity, StorageClass
from kybern.clock import settle
from tests.scheduler.test_filters import objection, status_of
from tests.scheduler.world import Cluster, Running, node, pod

pytestmark = pytest.mark.anyio


def claim(
    name: str, *, volume: str | None = None, storage: str = "1Gi", modes: list[str] | None = None, **more: Any
) -> Any:
    spec = {"accessModes": modes or ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
    status = {"phase": "Bound" if volume else "Pending"}
    spec |= {"volumeName": volume, "storageClassName": more.pop("storage_class", "")}
    plain = {"metadata": {"name": name, "namespace": "default"} | more, "spec": spec, "status": status}
    return types.from_plain(PersistentVolumeClaim, plain)


def volume(name: str, *, zone: str | None = None, labels: dict[str, str] | None = None, **spec: Any) -> Any:
    affinity = None
    if zone:
        wanted = {"key": "zone", "operator": "In", "values": [zone]}
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}}
    base = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "nodeAffinity": affinity}
    meta = {"name": name, "labels": labels or {}}
    plain = {"metadata": meta, "spec": base | spec, "status": {"phase": "Available"}}
    return types.from_plain(PersistentVolume, plain)


def storage_class(
    name: str, provisioner: str = "disk.example.com", mode: str = "WaitForFirstConsumer", **more: Any
) -> Any:
    plain = {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}
    return types.from_plain(StorageClass, plain | more)


def using(*claims: str, name: str = "p", **more: Any) -> Any:
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return pod(name, volumes=volumes, **more)


N = node("n", labels={"zone": "a"})


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([], 'persistentvolumeclaim "data" not found'),
        ([claim("data")], "pod has unbound immediate PersistentVolumeClaims"),
        (
            [claim("data", storage_class="now"), storage_class("now", mode="Immediate")],
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        ([claim("data", deletionTimestamp="2026-01-01T00:00:00Z")], 'persistentvolumeclaim "data" is being deleted'),
        ([claim("data", volume="gone")], "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        ([claim("data", volume="v"), volume("v", zone="b")], "node(s) didn't match PersistentVolume's node affinity"),
        ([claim("data", volume="v"), volume("v", zone="a")], None),
        ([claim("data", volume="v"), volume("v")], None),
        ([claim("data", storage_class="late"), storage_class("late")], None),
        (
            [claim("data", storage_class="late"), storage_class("late", provisioner="kubernetes.io/no-provisioner")],
            "node(s) didn't find available persistent volumes to bind",
        ),
        (
            [
                claim("data", storage_class="late"),
                storage_class(
                    "late", allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["b"]}]}]
                ),
            ],
            "node(s) didn't find available persistent volumes to bind",
        ),
    ],
)
def test_claims_must_be_bound_or_bindable_on_the_node(objects: list[Any], reason: str | None) -> None:
    assert objection(using("data"), N, *objects) == (() if reason is None else (reason,))


LOCAL = storage_class("local", provisioner="kubernetes.io/no-provisioner")


@pytest.mark.parametrize(
    ("available", "fits"),
    [
        (volume("v", storageClassName="local"), True),
        (volume("v", storageClassName="local", zone="b"), False),
        (volume("v", storageClassName="other"), False),
        (volume("v", storageClassName="local", capacity={"storage": "1Mi"}), False),
        (volume("v", storageClassName="local", accessModes=["ReadOnlyMany"]), False),
        (volume("v", storageClassName="local", volumeMode="Block"), False),
        (volume("v", storageClassName="local", claimRef={"name": "other", "namespace": "default"}), False),
        (volume("v", storageClassName="local", claimRef={"name": "data", "namespace": "default"}), True),
    ],
)
def test_a_volume_made_by_hand_must_fit_the_claim(available: Any, fits: bool) -> None:
    found = objection(using("data"), N, LOCAL, claim("data", storage_class="local"), available)
    assert found == (() if fits else ("node(s) didn't find available persistent volumes to bind",))


def test_two_claims_of_a_pod_need_two_volumes() -> None:
    claims = [claim(name, storage_class="local") for name in ("one", "two")]
    volumes = [volume(name, storageClassName="local") for name in ("v1", "v2")]
    subject = using("one", "two")
    assert objection(subject, N, LOCAL, *claims, volumes[0]) != ()
    assert objection(subject, N, LOCAL, *claims, *volumes) == ()


def test_a_volume_with_a_zone_label_is_used_only_there() -> None:
    labels = {"topology.kubernetes.io/zone": "a__b"}
    objects = [claim("data", volume="v"), volume("v", labels=labels)]
    for zone, fits in (("a", True), ("b", True), ("c", False)):
        there = node("n", labels={"topology.kubernetes.io/zone": zone})
        assert objection(using("data"), there, *objects) == (() if fits else ("node(s) had no available volume zone",))
    assert objection(using("data"), node("n", labels={"failure-domain.beta.kubernetes.io/zone": "c"}), *objects) != ()
    assert objection(using("data"), node("n"), *objects) == ()


ONCE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


async def test_a_read_write_once_pod_claim_serves_one_pod_and_preemption_can_take_it_over() -> None:
    objects = [claim("data", volume="v", modes=["ReadWriteOncePod"]), volume("v")]
    assert objection(using("data"), N, node("m"), using("data", name="old", on="m"), *objects) == (ONCE,)
    cluster = Cluster(N, using("data", name="old", on="n"), *objects)
    async with Running(cluster.scheduler()):
        cluster.put(using("data", priority=5))
        await cluster.clock.advance(2)
    assert cluster.deleted == ["old"]
    assert cluster.bindings == [("p", "n")]


def test_a_disk_is_shared_on_a_node_only_read_only() -> None:
    def disk(read_only: bool) -> dict[str, Any]:
        return {"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "disk", "readOnly": read_only}}]}

    taken = ("node(s) had no available disk",)
    assert objection(pod("p", **disk(False)), N, pod("old", on="n", **disk(True))) == taken
    assert objection(pod("p", **disk(True)), N, pod("old", on="n", **disk(True))) == ()


def test_a_node_attaches_only_so_many_volumes_of_a_driver() -> None:
    driver = {"name": "disk.example.com", "nodeID": "n", "allocatable": {"count": 1}}
    limits = types.from_plain(CSINode, {"metadata": {"name": "n"}, "spec": {"drivers": [driver]}})
    volumes = [volume(f"v{i}", csi={"driver": "disk.example.com", "volumeHandle": f"h{i}"}) for i in range(2)]
    claims = [claim(f"c{i}", volume=f"v{i}") for i in range(2)]
    old = using("c0", name="old", on="n")
    status = status_of(using("c1"), N, limits, *volumes, *claims, old)
    assert status.reasons == ("node(s) exceed max volume count",)
    assert objection(using("c0"), N, limits, *volumes, *claims, old) == ()


async def test_a_claim_that_waits_is_given_the_node_and_the_pod_waits_for_its_volume() -> None:
    cluster = Cluster(N, claim("data", storage_class="late"), storage_class("late"))
    patches: list[Any] = []

    async def patch(kind: Any, name: str, namespace: str, body: Any, **_: Any) -> None:
        patches.append((kind.__name__, name, body))

    cluster.patch = patch  # type: ignore[method-assign]
    async with Running(cluster.scheduler()):
        cluster.put(using("data"))
        await cluster.clock.advance(30)
        annotation = {"volume.kubernetes.io/selected-node": "n"}
        assert patches == [("PersistentVolumeClaim", "data", {"metadata": {"annotations": annotation}})]
        assert cluster.bindings == []
        cluster.put(claim("data", volume="v", storage_class="late"))
        await settle()
    assert cluster.bindings == [("p", "n")]


async def test_a_volume_that_never_comes_fails_the_pod() -> None:
    cluster = Cluster(N, claim("data", storage_class="late"), storage_class("late"))

    async def patch(*_: Any, **__: Any) -> None:
        return None

    cluster.patch = patch  # type: ignore[method-assign]
    async with Running(cluster.scheduler()) as scheduler:
        cluster.put(using("data", cpu="1"))
        await cluster.clock.advance(600)
        assert scheduler.snapshot.pods == {}
    assert cluster.messages() == ['running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded']


async def test_a_promised_volume_is_not_promised_again() -> None:
    claims = [claim(name, storage_class="local") for name in ("one", "two")]
    cluster = Cluster(N, LOCAL, *claims, volume("v", storageClassName="local"))

    async def patch(*_: Any, **__: Any) -> None:
        return None

    cluster.patch = patch  # type: ignore[method-assign]
    async with Running(cluster.scheduler()):
        cluster.put(using("one", name="first"), using("two", name="second"))
        await settle()
    reason = "node(s) didn't find available persistent volumes to bind"
    assert [m.split(". ")[0] for m in cluster.messages()] == [f"0/1 nodes are available: 1 {reason}"]


async def test_a_pod_waits_for_its_claim_and_is_woken_by_it() -> None:
    cluster = Cluster(N, volume("v"))
    async with Running(cluster.scheduler()):
        cluster.put(using("data"))
        await cluster.clock.advance(2)
        text = '0/1 nodes are available: persistentvolumeclaim "data" not found. '
        assert cluster.messages()[0].startswith(text)
        cluster.put(claim("data", volume="v"))
        await settle()
    assert cluster.bindings == [("p", "n")]


def csi_driver(**spec: Any) -> Any:
    return types.from_plain(CSIDriver, {"metadata": {"name": "disk.example.com"}, "spec": spec})


def capacity(zone: str | None, amount: str, most: str | None = None) -> Any:
    topology = {"matchLabels": {"zone": zone}} if zone is not None else None
    metadata = {"name": f"in-{zone}", "namespace": "kube-system"}
    plain = {"metadata": metadata, "storageClassName": "late", "capacity": amount, "maximumVolumeSize": most}
    return types.from_plain(CSIStorageCapacity, plain | {"nodeTopology": topology})


@pytest.mark.parametrize(
    ("objects", "fits"),
    [
        ([csi_driver(storageCapacity=True)], False),
        ([csi_driver(storageCapacity=False)], True),
        ([csi_driver(storageCapacity=True), capacity("a", "2Gi")], True),
        ([csi_driver(storageCapacity=True), capacity("a", "1Mi")], False),
        ([csi_driver(storageCapacity=True), capacity("a", "2Gi", most="1Mi")], False),
        ([csi_driver(storageCapacity=True), capacity("b", "2Gi")], False),
        ([csi_driver(storageCapacity=True), capacity(None, "2Gi")], False),
    ],
)
def test_a_volume_is_made_only_where_there_is_room_for_it(objects: list[Any], fits: bool) -> None:
    found = objection(using("data"), N, claim("data", storage_class="late"), storage_class("late"), *objects)
    assert found == (() if fits else ("node(s) did not have enough free storage",))


async def test_the_node_with_the_most_room_is_best_for_a_new_volume() -> None:
    nodes = [node(f"n-{zone}", labels={"zone": zone}) for zone in "abc"]
    rooms = [capacity("a", "2Gi"), capacity("b", "90Gi"), capacity("c", "3Gi")]
    there = [claim("data", storage_class="late"), storage_class("late"), csi_driver(storageCapacity=True), *rooms]
    cluster = Cluster(*nodes, *there)
    chosen: list[str] = []

    async def patch(kind: Any, name: str, namespace: str, body: Any, **_: Any) -> None:
        chosen.extend(body["metadata"]["annotations"].values())

    cluster.patch = patch  # type: ignore[method-assign]
    async with Running(cluster.scheduler()):
        cluster.put(using("data"))
        await settle()
    assert chosen == ["n-b"]


def test_a_driver_may_want_no_pods_where_it_is_not_installed() -> None:
    bound = [volume("v", csi={"driver": "disk.example.com", "volumeHandle": "h"}), claim("data", volume="v")]
    elsewhere = types.from_plain(CSINode, {"metadata": {"name": "n"}, "spec": {"drivers": None}})
    missing = ("disk.example.com CSI driver is not installed on the node",)
    wanted = csi_driver(preventPodSchedulingIfMissing=True)
    assert objection(using("data"), N, *bound, wanted) == missing
    assert objection(using("data"), N, *bound, wanted, elsewhere) == missing
    assert objection(using("data"), N, *bound, csi_driver()) == ()
    there = types.to_plain(elsewhere) | {"spec": {"drivers": [{"name": "disk.example.com", "nodeID": "n"}]}}
    assert objection(using("data"), N, *bound, wanted, types.from_plain(CSINode, there)) == ()
