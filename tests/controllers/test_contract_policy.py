"""The controllers of quota, volumes, mirrored endpoints and nodes' annotations meet the controllers' contract."""

from __future__ import annotations

from kybern.api.core import (
    ConfigMap,
    Endpoints,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    Service,
)
from kybern.api.discovery import EndpointSlice
from kybern.api.resource import ResourceClaim, ResourceClaimTemplate
from kybern.api.storage import CSIDriver, VolumeAttachment
from kybern.reconcile.interface import Controller
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World
from kybern_controllers_cluster.attachdetach import AttachDetachController
from kybern_controllers_cluster.endpointslicemirroring import EndpointSliceMirroringController
from kybern_controllers_cluster.ephemeral_volume import EphemeralVolumeController
from kybern_controllers_cluster.nodettl import NodeTTLController
from kybern_controllers_cluster.persistentvolume_binder import PersistentVolumeBinder
from kybern_controllers_cluster.resourceclaim import ResourceClaimController
from kybern_controllers_cluster.resourcequota import ResourceQuotaController
from kybern_controllers_cluster.volume_expand import VolumeExpandController
from kybern_runtime_fake.storage import FakeProvisioner
from tests.controllers import test_resourceclaim
from tests.controllers.objects import least
from tests.controllers.test_volumes import claim, volume, with_scratch


def phases(world: World) -> list[str]:
    objects = [*world.all(PersistentVolumeClaim), *world.all(PersistentVolume)]
    return sorted(f"{o.kind} {o.status.phase}" for o in objects)


class TestVolumeBinder(ControllerContract):
    """A claim takes the volume that fits, and a volume whose claim is gone is released."""

    def make(self) -> Controller:
        return PersistentVolumeBinder()

    async def populate(self, world: World) -> None:
        await world.apply(PersistentVolume, volume("v"))
        await world.apply(PersistentVolume, volume("w", "9Gi"))
        gone = {"namespace": "default", "name": "d", "uid": "gone"}
        await world.apply(PersistentVolume, volume("x", claimRef=gone))
        await world.apply(PersistentVolumeClaim, claim())

    def check(self, world: World) -> None:
        available, released = "PersistentVolume Available", "PersistentVolume Released"
        assert phases(world) == [available, "PersistentVolume Bound", released, "PersistentVolumeClaim Bound"]


class TestFakeProvisioner(ControllerContract):
    def make(self) -> Controller:
        return FakeProvisioner()

    def others(self) -> list[Controller]:
        return [PersistentVolumeBinder()]

    async def populate(self, world: World) -> None:
        await world.apply(PersistentVolumeClaim, claim(storageClassName="standard"))

    def check(self, world: World) -> None:
        assert phases(world) == ["PersistentVolume Bound", "PersistentVolumeClaim Bound"]


class TestEphemeralVolume(ControllerContract):
    def make(self) -> Controller:
        return EphemeralVolumeController()

    async def populate(self, world: World) -> None:
        for name in ("p", "q"):
            await world.apply(Pod, with_scratch(name))

    def check(self, world: World) -> None:
        assert {c.metadata.name for c in world.all(PersistentVolumeClaim)} == {"p-scratch", "q-scratch"}


class TestVolumeExpand(ControllerContract):
    """It only tells the user for whom he waits."""

    def make(self) -> Controller:
        return VolumeExpandController()

    async def populate(self, world: World) -> None:
        held = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
        await world.apply(PersistentVolumeClaim, least(PersistentVolumeClaim, "c", {"volumeName": "v"}))
        await world.set_status(
            world.all(PersistentVolumeClaim)[0], lambda c: [setattr(c.status, k, held[k]) for k in held]
        )

    async def act(self, world: World) -> None:
        more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        await world.client.patch(PersistentVolumeClaim, "c", "default", more)
        await world.settle(60)


class TestAttachDetach(ControllerContract):
    def make(self) -> Controller:
        return AttachDetachController()

    async def populate(self, world: World) -> None:
        await world.apply(Node, {"metadata": {"name": "n"}})
        await world.apply(CSIDriver, {"metadata": {"name": "csi.example.com"}, "spec": {}})
        for name in ("v", "w"):
            csi = {"driver": "csi.example.com", "volumeHandle": name}
            await world.apply(PersistentVolume, least(PersistentVolume, name, {"hostPath": None, "csi": csi}))
            bound = claim(f"c-{name}", volumeName=name) | {"status": {"phase": "Bound"}}
            await world.apply(PersistentVolumeClaim, bound)
        volumes = [{"name": v, "persistentVolumeClaim": {"claimName": f"c-{v}"}} for v in ("v", "w")]
        await world.apply(Pod, least(Pod, "p", {"nodeName": "n", "volumes": volumes}))

    def check(self, world: World) -> None:
        assert [a.spec.nodeName for a in world.all(VolumeAttachment)] == ["n", "n"]


class TestResourceQuota(ControllerContract):
    def make(self) -> Controller:
        return ResourceQuotaController()

    async def populate(self, world: World) -> None:
        for name in ("q", "r"):
            hard = {"configmaps": "2", "pods": "1"}
            await world.apply(ResourceQuota, {"metadata": {"name": name}, "spec": {"hard": hard}})
        await world.apply(ConfigMap, {"metadata": {"name": "c"}})

    def check(self, world: World) -> None:
        assert [q.status.used for q in world.all(ResourceQuota)] == [{"configmaps": "1", "pods": "0"}] * 2


class TestEndpointSliceMirroring(ControllerContract):
    def make(self) -> Controller:
        return EndpointSliceMirroringController()

    async def populate(self, world: World) -> None:
        await world.apply(Service, least(Service, "s", {"clusterIP": "10.96.0.9"}))
        subsets = [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]}]
        await world.apply(Endpoints, {"metadata": {"name": "s"}, "subsets": subsets})

    def check(self, world: World) -> None:
        assert sorted(e.addresses[0] for s in world.all(EndpointSlice) for e in s.endpoints) == ["10.0.0.1", "fd00::1"]


class TestResourceClaim(ControllerContract):
    def make(self) -> Controller:
        return ResourceClaimController()

    async def populate(self, world: World) -> None:
        await world.apply(ResourceClaimTemplate, test_resourceclaim.TEMPLATE)
        await world.apply(Pod, test_resourceclaim.pod())

    def check(self, world: World) -> None:
        [made] = world.all(ResourceClaim)
        [status] = world.all(Pod)[0].status.resourceClaimStatuses
        assert status.resourceClaimName == made.metadata.name


class TestNodeTTL(ControllerContract):
    def make(self) -> Controller:
        return NodeTTLController()

    async def populate(self, world: World) -> None:
        for name in ("a", "b"):
            await world.apply(Node, {"metadata": {"name": name}})
