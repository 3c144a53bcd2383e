"""The controllers of volumes, attributes and tainted devices meet the contract that any controller must meet."""

from __future__ import annotations

from kybern.api.core import PersistentVolume, PersistentVolumeClaim, Pod
from kybern.api.resource import DeviceTaintRule, ResourceClaim, ResourceSlice
from kybern.api.storage import VolumeAttachment, VolumeAttributesClass
from kybern.reconcile.interface import Controller
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World
from kybern_controllers_cluster.devicetainteviction import DeviceTaintEvictionController
from kybern_controllers_cluster.storage_protection import (
    AttributesClassProtectionController,
    VolumeProtectionController,
)
from kybern_runtime_fake.storage import PROVISIONED_BY, PROVISIONER, FakeAttacher, FakeResizer
from tests.controllers.objects import least

DRIVER = "gpu.example.com"


class TestDeviceTaintEviction(ControllerContract):
    ignore = ("message",)
    """A rule's message counts the pods that are there when it is written."""

    def make(self) -> Controller:
        return DeviceTaintEvictionController()

    async def populate(self, world: World) -> None:
        taints = [{"key": "sick", "effect": "NoExecute", "timeAdded": "2001-01-01T00:00:00Z"}]
        pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
        offered = {"driver": DRIVER, "nodeName": "n", "pool": pool, "devices": [{"name": "a", "taints": taints}]}
        await world.apply(ResourceSlice, {"metadata": {"name": "s"}, "spec": offered})
        warning = {"deviceSelector": {"driver": DRIVER}, "taint": {"key": "old", "effect": "None"}}
        await world.apply(DeviceTaintRule, {"metadata": {"name": "r"}, "spec": warning})
        made = await world.apply(Pod, least(Pod, "p", {"nodeName": "n"}))
        asked = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}
        result = {"request": "r", "driver": DRIVER, "pool": "n", "device": "a"}
        user = {"resource": "pods", "name": "p", "uid": made.metadata.uid}
        status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": [user]}
        await world.apply(ResourceClaim, {"metadata": {"name": "c"}, "spec": asked, "status": status})

    def check(self, world: World) -> None:
        assert all(pod.metadata.deletionTimestamp for pod in world.all(Pod))
        [rule] = world.all(DeviceTaintRule)
        assert rule.status.conditions[0].reason == "NoEffect"


class TestVolumeProtection(ControllerContract):
    def make(self) -> Controller:
        return VolumeProtectionController()

    async def populate(self, world: World) -> None:
        await world.apply(PersistentVolume, least(PersistentVolume, "used"))
        await world.apply(
            PersistentVolume, least(PersistentVolume, "going", finalizers=["kubernetes.io/pv-protection"])
        )
        await world.client.delete(PersistentVolume, "going")


class TestAttributesClassProtection(ControllerContract):
    def make(self) -> Controller:
        return AttributesClassProtectionController()

    async def populate(self, world: World) -> None:
        for name in ("new", "going"):
            finalizers = ["kubernetes.io/vac-protection"] if name == "going" else []
            plain = {"metadata": {"name": name, "finalizers": finalizers}, "driverName": "d", "parameters": {"a": "b"}}
            await world.apply(VolumeAttributesClass, plain)
        await world.client.delete(VolumeAttributesClass, "going")


class TestFakeAttacher(ControllerContract):
    def make(self) -> Controller:
        return FakeAttacher()

    async def populate(self, world: World) -> None:
        for name, attacher in (("ours", PROVISIONER), ("other", "csi.example.com")):
            spec = {"attacher": attacher, "nodeName": "n", "source": {"persistentVolumeName": "v"}}
            await world.apply(VolumeAttachment, {"metadata": {"name": name}, "spec": spec})

    def check(self, world: World) -> None:
        told = {a.metadata.name: bool(a.status.attached) for a in world.all(VolumeAttachment)}
        assert told == {"ours": True, "other": False}


class TestFakeResizer(ControllerContract):
    def make(self) -> Controller:
        return FakeResizer()

    async def populate(self, world: World) -> None:
        plain = {"metadata": {"name": "gold"}, "driverName": PROVISIONER, "parameters": {"a": "b"}}
        await world.apply(VolumeAttributesClass, plain)
        csi = {"hostPath": None, "csi": {"driver": PROVISIONER, "volumeHandle": "v"}}
        volume = least(PersistentVolume, "v", csi, annotations={PROVISIONED_BY: PROVISIONER})
        await world.apply(PersistentVolume, volume)
        wanted = {"volumeName": "v", "volumeAttributesClassName": "gold", "resources": {"requests": {"storage": "2Gi"}}}
        held = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
        await world.apply(PersistentVolumeClaim, least(PersistentVolumeClaim, "c", wanted) | {"status": held})

    def check(self, world: World) -> None:
        [claim] = world.all(PersistentVolumeClaim)
        assert claim.status.capacity == {"storage": "2Gi"}
        assert claim.status.currentVolumeAttributesClassName == "gold"
        [volume] = world.all(PersistentVolume)
        assert (volume.spec.capacity, volume.spec.volumeAttributesClassName) == ({"storage": "2Gi"}, "gold")
