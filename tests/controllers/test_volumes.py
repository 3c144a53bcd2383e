"""Claims and volumes find each other, stay together, and part as their reclaim policy says."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.core import PersistentVolume, PersistentVolumeClaim, Pod
from kybern.api.errors import StatusError
from kybern.api.storage import StorageClass, VolumeAttributesClass
from kybern.api.storage.classes import default_class
from kybern.api.storage.matching import best_match
from kybern.testing.world import World
from kybern_controllers_cluster.ephemeral_volume import EphemeralVolumeController
from kybern_controllers_cluster.persistentvolume_binder import PersistentVolumeBinder
from kybern_controllers_cluster.storage_protection import AttributesClassProtectionController
from kybern_controllers_cluster.volume_expand import VolumeExpandController
from kybern_runtime_fake.storage import FakeProvisioner, FakeResizer
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio

RWO, ROX, RWX = "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"


def volume(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    base = {"capacity": {"storage": size}, "accessModes": [RWO], "persistentVolumeReclaimPolicy": "Retain"}
    spec = base | {"hostPath": {"path": "/tmp/v"}} | spec
    return {"metadata": {"name": name, "labels": {"tier": name}}, "spec": spec, "status": {"phase": "Available"}}


def claim(name: str = "c", size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    spec = {"accessModes": [RWO], "storageClassName": "", "resources": {"requests": {"storage": size}}} | spec
    return {"metadata": {"name": name, "namespace": "default", "uid": f"u-{name}"}, "spec": spec}


def storage_class(
    name: str, provisioner: str = "fake.kybern.dev", default: bool = False, **more: Any
) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": annotations}, "provisioner": provisioner} | more


async def add(world: World, kind: type[Any], *objects: dict[str, Any]) -> None:
    for data in objects:
        await world.apply(kind, data)


def state(world: World) -> list[str]:
    """`c: Bound v`, `v: Bound default/c`, in order."""
    told = [f"{c.metadata.name}: {c.status.phase} {c.spec.volumeName}" for c in world.all(PersistentVolumeClaim)]
    for v in world.all(PersistentVolume):
        ref = v.spec.claimRef
        told.append(f"{v.metadata.name}: {v.status.phase} {f'{ref.namespace}/{ref.name}' if ref else None}")
    return sorted(told)


MATCHES: list[tuple[str, dict[str, Any], list[dict[str, Any]], bool, str | None]] = [
    ("the smallest that is large enough", claim(size="2Gi"), [volume("a", "1Gi"), volume("b", "9Gi"), volume("c", "3Gi")], False, "c"),
    ("of its class only", claim(storageClassName="gold"), [volume("a"), volume("b", storageClassName="gold")], False, "b"),
    ("all access modes", claim(accessModes=[RWO, ROX]), [volume("a"), volume("b", accessModes=[RWO, ROX, RWX])], False, "b"),
    ("no more access modes than needed", claim(), [volume("a", accessModes=[RWO, RWX]), volume("b", "5Gi")], False, "b"),
    ("the same volume mode", claim(volumeMode="Block"), [volume("a"), volume("b", volumeMode="Block")], False, "b"),
    ("by selector", claim(selector={"matchLabels": {"tier": "b"}}), [volume("a"), volume("b", "8Gi")], False, "b"),
    ("what is reserved for it", claim(), [volume("a"), volume("b", "8Gi", claimRef={"namespace": "default", "name": "c"})], False, "b"),
    ("not what is reserved for another", claim(), [volume("a", claimRef={"namespace": "default", "name": "x"})], False, None),
    ("not what an earlier claim of its name had", claim(), [volume("a", claimRef={"namespace": "default", "name": "c", "uid": "old"})], False, None),
    ("nothing free while it waits for a pod", claim(), [volume("a")], True, None),
    ("what is reserved even then", claim(), [volume("a", claimRef={"namespace": "default", "name": "c"})], True, "a"),
]  # fmt: skip


@pytest.mark.parametrize(("why", "wanted", "there", "delayed", "expected"), MATCHES, ids=[m[0] for m in MATCHES])
def test_a_claim_gets(
    why: str, wanted: dict[str, Any], there: list[dict[str, Any]], delayed: bool, expected: str | None
) -> None:
    volumes = [types.from_plain(PersistentVolume, v) for v in there]
    found = best_match(types.from_plain(PersistentVolumeClaim, wanted), volumes, delayed)
    assert (found.metadata.name if found is not None else None) == expected


def test_of_several_default_classes_the_newest_counts() -> None:
    classes = [types.from_plain(StorageClass, storage_class(name, default=True)) for name in ("a", "b", "c")]
    for each, year in zip(classes, (2025, 2026, 2024), strict=True):
        each.metadata.creationTimestamp = f"{year}-01-01T00:00:00Z"
    found = default_class(classes)
    assert found is not None
    assert found.metadata.name == "b"


async def test_binding(world: World) -> None:
    await add(world, PersistentVolume, volume("v", "2Gi"))
    await add(world, PersistentVolumeClaim, claim())
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
        assert state(world) == ["c: Bound v", "v: Bound default/c"]
        bound, pv = world.all(PersistentVolumeClaim)[0], world.all(PersistentVolume)[0]
        assert bound.status.capacity == {"storage": "2Gi"}
        assert bound.status.accessModes == [RWO]
        assert bound.metadata.annotations == {
            "pv.kubernetes.io/bind-completed": "yes",
            "pv.kubernetes.io/bound-by-controller": "yes",
        }
        assert pv.spec.claimRef.uid == bound.metadata.uid
        assert pv.metadata.annotations == {"pv.kubernetes.io/bound-by-controller": "yes"}


async def test_what_the_user_chose_is_not_marked_as_the_controllers_choice(world: World) -> None:
    await add(world, PersistentVolume, volume("v", claimRef={"namespace": "default", "name": "c"}))
    await add(world, PersistentVolumeClaim, claim(volumeName="v"))
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
        assert state(world) == ["c: Bound v", "v: Bound default/c"]
        assert world.all(PersistentVolume)[0].metadata.annotations is None
        done = {"pv.kubernetes.io/bind-completed": "yes"}
        assert world.all(PersistentVolumeClaim)[0].metadata.annotations == done


async def test_two_claims_never_share_a_volume(world: World) -> None:
    await add(world, PersistentVolume, volume("v"))
    await add(world, PersistentVolumeClaim, claim("a"), claim("b"))
    async with world.running(PersistentVolumeBinder()):
        await world.settle(5)
        assert sorted(c.status.phase for c in world.all(PersistentVolumeClaim)) == ["Bound", "Pending"]
        assert any("Normal FailedBinding no persistent volumes available" in event for event in world.events())


@pytest.mark.parametrize(
    ("pv", "pvc", "told"),
    [
        (volume("v"), claim(size="5Gi", volumeName="v"), 'Cannot bind to requested volume "v": requested PV is too small'),
        (volume("v"), claim(volumeName="v", storageClassName="x"), "storageClassName does not match"),
        (volume("v"), claim(volumeName="v", volumeMode="Block"), "incompatible volumeMode"),
        (volume("v"), claim(volumeName="v", accessModes=[RWX]), "incompatible accessMode"),
        (
            volume("v", claimRef={"namespace": "default", "name": "other"}),
            claim(volumeName="v"),
            'Warning FailedBinding volume "v" already bound to a different claim.',
        ),
    ],
)  # fmt: skip
async def test_why_a_volume_asked_for_by_name_cannot_be_had(
    world: World, pv: dict[str, Any], pvc: dict[str, Any], told: str
) -> None:
    await add(world, PersistentVolume, pv)
    await add(world, PersistentVolumeClaim, types.to_plain(types.from_plain(PersistentVolumeClaim, pvc)))
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
        assert any(told in event for event in world.events())
        assert world.all(PersistentVolumeClaim)[0].status.phase == "Pending"


@pytest.mark.parametrize(("policy", "phase"), [("Retain", "Released"), ("Delete", "Failed"), ("Recycle", "Failed")])
async def test_when_the_claim_goes(world: World, policy: str, phase: str) -> None:
    await add(world, PersistentVolume, volume("v", persistentVolumeReclaimPolicy=policy))
    await add(world, PersistentVolumeClaim, claim())
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
        await world.client.delete(PersistentVolumeClaim, "c", "default")
        await world.settle(1)
        assert state(world) == [f"v: {phase} default/c"]
        await add(world, PersistentVolumeClaim, claim() | {"metadata": {"name": "c"}})
        await world.settle(1)
        assert world.all(PersistentVolumeClaim)[0].status.phase == "Pending"


async def test_a_claim_whose_volume_is_gone_is_lost(world: World) -> None:
    await add(world, PersistentVolume, volume("v"))
    await add(world, PersistentVolumeClaim, claim())
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
        await world.client.delete(PersistentVolume, "v")
        await world.settle(1)
        assert state(world) == ["c: Lost v"]
        assert world.all(PersistentVolumeClaim)[0].status.capacity is None
        assert (
            "Warning ClaimLost Bound claim has lost its PersistentVolume. Data on the volume is lost!" in world.events()
        )


async def test_a_default_class_that_comes_later_is_given_to_claims_that_wait(world: World) -> None:
    open_claim = claim()
    del open_claim["spec"]["storageClassName"]
    await add(world, PersistentVolumeClaim, open_claim, claim("none"))
    async with world.running(PersistentVolumeBinder(), FakeProvisioner()):
        await world.settle(2)
        found = {c.metadata.name: c for c in world.all(PersistentVolumeClaim)}
        assert found["c"].spec.storageClassName == "standard"
        assert found["c"].status.phase == "Bound"
        assert found["none"].spec.storageClassName == ""
        assert found["none"].status.phase == "Pending"


async def test_a_class_that_waits_for_the_first_consumer(world: World) -> None:
    await add(world, StorageClass, storage_class("late", volumeBindingMode="WaitForFirstConsumer"))
    await add(world, PersistentVolumeClaim, claim(storageClassName="late"))
    async with world.running(PersistentVolumeBinder(), FakeProvisioner()):
        await world.settle(1)
        assert state(world) == ["c: Pending None"]
        text = "Normal WaitForFirstConsumer waiting for first consumer to be created before binding"
        assert any(event.startswith(text) for event in world.events())
        mounted = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
        await world.apply(Pod, least(Pod, "p", {"volumes": [mounted]}))
        await world.settle(1)
        assert any("WaitForPodScheduled waiting for pod p to be scheduled" in event for event in world.events())
        chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}}
        await world.client.patch(PersistentVolumeClaim, "c", "default", chosen)
        await world.settle(2)
        assert world.all(PersistentVolumeClaim)[0].status.phase == "Bound"


async def test_an_unknown_class_and_a_provisioner_that_is_not_there(world: World) -> None:
    await add(world, StorageClass, storage_class("csi", "csi.example.com"))
    await add(world, PersistentVolumeClaim, claim("a", storageClassName="nope"), claim("b", storageClassName="csi"))
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
        assert any('ProvisioningFailed storageclass.storage.k8s.io "nope" not found' in e for e in world.events())
        assert any("by the external provisioner 'csi.example.com' or manually" in event for event in world.events())


async def test_a_provisioner_that_would_have_to_be_built_in(world: World) -> None:
    name = "kubernetes.io/no-provisioner"
    await add(world, StorageClass, storage_class("local", name))
    await add(world, PersistentVolumeClaim, claim("a", storageClassName="local"))
    async with world.running(PersistentVolumeBinder()):
        await world.settle(1)
    assert world.events() == [f"Warning ProvisioningFailed no volume plugin matched name: {name}"]


async def test_a_provisioned_volume_lives_and_goes_with_its_claim(world: World) -> None:
    async with world.running(PersistentVolumeBinder(), FakeProvisioner(), FakeResizer()):
        await world.settle(1)
        await add(world, PersistentVolumeClaim, claim(storageClassName="standard"))
        await world.settle(2)
        pvc = world.all(PersistentVolumeClaim)[0]
        assert state(world) == [f"c: Bound pvc-{pvc.metadata.uid}", f"pvc-{pvc.metadata.uid}: Bound default/c"]
        grown = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
        await world.client.patch(PersistentVolumeClaim, "c", "default", grown)
        await world.settle(1)
        assert world.all(PersistentVolumeClaim)[0].status.capacity == {"storage": "3Gi"}
        assert world.all(PersistentVolume)[0].spec.capacity == {"storage": "3Gi"}
        await world.client.delete(PersistentVolumeClaim, "c", "default")
        await world.settle(2)
        assert state(world) == []


async def test_another_writer_takes_the_volume_first(world: World) -> None:
    await add(world, PersistentVolume, volume("v"))
    await add(world, PersistentVolumeClaim, claim())
    taken: list[bool] = []

    def intercept(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind is PersistentVolume and not taken:
            taken.append(True)
            raise StatusError(409, "Conflict", "someone else was faster")

    world.client.intercept = intercept
    async with world.running(PersistentVolumeBinder()):
        await world.settle(2)
        assert state(world) == ["c: Bound v", "v: Bound default/c"]


def with_scratch(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"kind": "scratch"}}, "spec": claim()["spec"]}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    return least(Pod, name, {"volumes": volumes})


async def test_an_ephemeral_volume_gets_its_claim(world: World) -> None:
    pod = await world.apply(Pod, with_scratch("p"))
    async with world.running(EphemeralVolumeController()):
        await world.settle(1)
        [made] = world.all(PersistentVolumeClaim)
        assert made.metadata.name == "p-scratch"
        assert made.metadata.labels == {"kind": "scratch"}
        assert made.metadata.ownerReferences[0].uid == pod.metadata.uid
        await world.client.delete(PersistentVolumeClaim, "p-scratch", "default")
        await world.settle(1)
        assert len(world.all(PersistentVolumeClaim)) == 1


async def test_a_claim_of_that_name_that_is_not_the_pods_is_left_alone(world: World) -> None:
    await add(world, PersistentVolumeClaim, claim("p-scratch"))
    await world.apply(Pod, with_scratch("p"))
    async with world.running(EphemeralVolumeController()):
        await world.settle(5)
        assert [c.metadata.ownerReferences for c in world.all(PersistentVolumeClaim)] == [None]


async def test_who_grows_a_claim_is_told(world: World) -> None:
    await add(world, PersistentVolumeClaim, claim() | {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}})
    async with world.running(VolumeExpandController()):
        await world.settle(1)
        assert world.events() == []
        grown = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
        await world.client.patch(PersistentVolumeClaim, "c", "default", grown)
        await world.settle(1)
        text = "waiting for an external controller to expand this PVC"
        assert world.events() == [f"Normal ExternalExpanding {text}"]


async def test_a_volume_that_is_deleted_before_its_claim_goes_with_it(world: World) -> None:
    async with world.running(PersistentVolumeBinder(), FakeProvisioner()):
        await world.settle(1)
        await add(world, PersistentVolumeClaim, claim(storageClassName="standard"))
        await world.settle(2)
        [volume] = world.all(PersistentVolume)
        assert volume.metadata.finalizers == ["external-provisioner.volume.kubernetes.io/finalizer"]
        await world.client.delete(PersistentVolume, volume.metadata.name)
        await world.settle(2)
        assert len(world.all(PersistentVolume)) == 1
        await world.client.delete(PersistentVolumeClaim, "c", "default")
        await world.settle(2)
        assert state(world) == []


async def test_a_claim_gets_the_attributes_that_it_asks_for(world: World) -> None:
    async with world.running(PersistentVolumeBinder(), FakeProvisioner(), FakeResizer()):
        await world.settle(1)
        await add(world, PersistentVolumeClaim, claim(storageClassName="standard"))
        await world.settle(2)
        await world.client.patch(PersistentVolumeClaim, "c", "default", {"spec": {"volumeAttributesClassName": "gold"}})
        await world.settle(1)
        status = world.all(PersistentVolumeClaim)[0].status
        assert (status.modifyVolumeStatus.status, status.currentVolumeAttributesClassName) == ("Pending", None)
        plain = {"metadata": {"name": "gold"}, "driverName": "fake.kybern.dev", "parameters": {"iops": "9"}}
        await world.client.create(types.from_plain(VolumeAttributesClass, plain))
        await world.settle(1)
        status = world.all(PersistentVolumeClaim)[0].status
        assert (status.modifyVolumeStatus, status.currentVolumeAttributesClassName) == (None, "gold")
        assert world.all(PersistentVolume)[0].spec.volumeAttributesClassName == "gold"


async def test_attributes_in_use_are_not_taken_away(world: World) -> None:
    finalizers = ["kubernetes.io/vac-protection"]
    plain = {"metadata": {"name": "gold", "finalizers": finalizers}, "driverName": "d", "parameters": {"iops": "9"}}
    await world.client.create(types.from_plain(VolumeAttributesClass, plain))
    await add(world, PersistentVolumeClaim, claim(volumeAttributesClassName="gold"))
    async with world.running(AttributesClassProtectionController()):
        await world.client.delete(VolumeAttributesClass, "gold")
        await world.settle(1)
        assert len(world.all(VolumeAttributesClass)) == 1
        await world.client.delete(PersistentVolumeClaim, "c", "default")
        await world.settle(1)
        assert world.all(VolumeAttributesClass) == []
