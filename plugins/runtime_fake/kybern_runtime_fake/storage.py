"""Volumes that only pretend, for claims on fake nodes: the CSI driver `fake.kybern.dev` and its class `standard`.

It stands where a CSI driver's provisioner, attacher and resizer stand, and does their writes to the
API and nothing else: nothing is stored anywhere. Driver and class are made once at start, the class unless there is a
default class already; `[controllers] disable = ["fake-provisioner"]` switches both off.
"""

from __future__ import annotations

from typing import Any

from kybern.api import quantity, types
from kybern.api.errors import StatusError
from kybern.api.storage.classes import storage_of
from kybern.reconcile.interface import Context, Controller, Key

PROVISIONER = "fake.kybern.dev"
CLASS = "standard"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
WANTED = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
"""Keeps a volume until what it stands for is deleted."""
WAIT = "WaitForFirstConsumer"


class FakeProvisioner(Controller):
    """Makes and deletes PersistentVolumes of its classes."""

    name = "fake-provisioner"
    event_source = PROVISIONER

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolume, PersistentVolumeClaim
        from kybern.api.storage import CSIDriver, StorageClass

        self.client, self.events = context.client, context.events
        self.claims = context.watch(PersistentVolumeClaim, on=lambda old, new: new is not None)
        self.volumes = context.watch(PersistentVolume, on=lambda old, new: new is not None)
        self.classes, self.drivers = context.informer(StorageClass), context.informer(CSIDriver)

    async def run(self) -> None:
        """Announce the driver, and give the cluster a default class if it has none."""
        await self.classes.synced()
        await self.drivers.synced()
        if self.drivers.get(PROVISIONER) is None:
            await self._ensure(driver_object())
        marked = [c for c in self.classes.list() if (c.metadata.annotations or {}).get(DEFAULT_CLASS) == "true"]
        if not marked and self.classes.get(CLASS) is None:
            await self._ensure(default_class())

    async def _ensure(self, obj: Any) -> None:
        try:
            await self.client.create(obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def reconcile(self, key: Key) -> None:
        if key.namespace:
            await self._provision(self.claims.get(key.name, key.namespace))
            return
        volume: Any = self.volumes.get(key.name)
        if volume is not None and is_ours(volume):
            await self._delete(volume)

    async def _provision(self, claim: Any) -> None:
        if claim is None or claim.metadata.deletionTimestamp or claim.spec.volumeName:
            return
        annotations = claim.metadata.annotations or {}
        found = self.classes.get(claim.spec.storageClassName or "")
        if found is None or found.provisioner != PROVISIONER or annotations.get(WANTED) != PROVISIONER:
            return
        if found.volumeBindingMode == WAIT and SELECTED_NODE not in annotations:
            return
        volume = volume_for(claim, found)
        if self.volumes.get(volume.metadata.name) is not None:
            return
        place = f"{claim.metadata.namespace}/{claim.metadata.name}"
        text = f'External provisioner is provisioning volume for claim "{place}"'
        self.events.event(claim, "Normal", "Provisioning", text)
        try:
            await self.client.create(volume)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            raise
        text = f"Successfully provisioned volume {volume.metadata.name}"
        self.events.event(claim, "Normal", "ProvisioningSucceeded", text)

    async def _delete(self, volume: Any) -> None:
        """A released volume goes; one that somebody deletes is let go when no claim has it."""
        metadata, finalizers = volume.metadata, volume.metadata.finalizers or []
        try:
            if metadata.deletionTimestamp and FINALIZER in finalizers and volume.status.phase != "Bound":
                changed = types.copy(volume)
                changed.metadata.finalizers = [f for f in finalizers if f != FINALIZER] or None
                await self.client.update(changed)
            elif not metadata.deletionTimestamp and is_to_go(volume):
                await self.client.delete(type(volume), metadata.name, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise


class FakeAttacher(Controller):
    """Says of every volume that shall be attached that it is."""

    name = "fake-attacher"
    event_source = PROVISIONER

    def setup(self, context: Context) -> None:
        from kybern.api.storage import VolumeAttachment

        self.client = context.client
        self.attachments = context.watch(VolumeAttachment, on=lambda old, new: new is not None)

    async def reconcile(self, key: Key) -> None:
        found: Any = self.attachments.get(key.name)
        if found is None or found.spec.attacher != PROVISIONER or found.status.attached:
            return
        if not found.metadata.deletionTimestamp:
            changed = types.copy(found)
            changed.status.attached = True
            await self.client.update_status(changed)


class FakeResizer(Controller):
    """Grows volumes as claims grow, and gives them the attributes that claims ask for."""

    name = "fake-resizer"
    event_source = PROVISIONER

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolume, PersistentVolumeClaim
        from kybern.api.storage import VolumeAttributesClass

        self.client, self.events = context.client, context.events
        self.claims = context.watch(PersistentVolumeClaim, on=lambda old, new: new is not None)
        self.volumes = context.informer(PersistentVolume)
        self.attributes = context.watch(VolumeAttributesClass, self._claims_of)

    def _claims_of(self, attributes: Any) -> list[Key]:
        name = attributes.metadata.name
        claims = [c for c in self.claims.list() if c.spec.volumeAttributesClassName == name]
        return [Key(c.metadata.namespace, c.metadata.name) for c in claims]

    async def reconcile(self, key: Key) -> None:
        claim: Any = self.claims.get(key.name, key.namespace)
        if claim is None or claim.metadata.deletionTimestamp or claim.status.phase != "Bound":
            return
        volume: Any = self.volumes.get(claim.spec.volumeName or "")
        if volume is None or not is_ours(volume):
            return
        if storage_of(claim.spec.resources.requests) > storage_of(claim.status.capacity):
            await self._grow(claim, volume)
        elif (claim.spec.volumeAttributesClassName or None) != claim.status.currentVolumeAttributesClassName:
            await self._modify(claim, volume)

    async def _grow(self, claim: Any, volume: Any) -> None:
        wanted = claim.spec.resources.requests["storage"]
        text = f"External resizer is resizing volume {volume.metadata.name}"
        self.events.event(claim, "Normal", "Resizing", text)
        if storage_of(volume.spec.capacity) < quantity.parse(wanted):
            grown = types.copy(volume)
            grown.spec.capacity = {"storage": wanted}
            await self.client.update(grown)
        changed = types.copy(claim)
        changed.status.capacity = changed.status.allocatedResources = {"storage": wanted}
        await self.client.update_status(changed)
        self.events.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _modify(self, claim: Any, volume: Any) -> None:
        """Pending until the VolumeAttributesClass is there."""
        from kybern.api.core import ModifyVolumeStatus

        wanted, changed = claim.spec.volumeAttributesClassName, types.copy(claim)
        if not wanted:
            return
        if self.attributes.get(wanted) is None:
            changed.status.modifyVolumeStatus = ModifyVolumeStatus(
                status="Pending", targetVolumeAttributesClassName=wanted
            )
            if changed.status != claim.status:
                await self.client.update_status(changed)
            return
        if volume.spec.volumeAttributesClassName != wanted:
            modified = types.copy(volume)
            modified.spec.volumeAttributesClassName = wanted
            await self.client.update(modified)
        changed.status.currentVolumeAttributesClassName = wanted
        changed.status.modifyVolumeStatus = None
        await self.client.update_status(changed)
        text = f"external resizer modified volume {claim.metadata.name} with vac {wanted} successfully"
        self.events.event(claim, "Normal", "VolumeModifySuccessful", text)


def driver_object() -> Any:
    """The CSIDriver."""
    from kybern.api.meta import ObjectMeta
    from kybern.api.storage import CSIDriver, CSIDriverSpec

    spec = CSIDriverSpec(attachRequired=True, podInfoOnMount=False, volumeLifecycleModes=["Persistent"])
    return CSIDriver(metadata=ObjectMeta(name=PROVISIONER), spec=spec)


def default_class() -> Any:
    """The class `standard`."""
    from kybern.api.meta import ObjectMeta
    from kybern.api.storage import StorageClass

    return StorageClass(
        metadata=ObjectMeta(name=CLASS, annotations={DEFAULT_CLASS: "true"}),
        provisioner=PROVISIONER,
        reclaimPolicy="Delete",
        volumeBindingMode="Immediate",
        allowVolumeExpansion=True,
    )


def volume_for(claim: Any, storage_class: Any) -> Any:
    """The volume that a claim asks for. Its name follows from the claim, so that it is made once only."""
    from kybern.api.core import PersistentVolume

    metadata, spec = claim.metadata, claim.spec
    name, policy = f"pvc-{metadata.uid}", storage_class.reclaimPolicy or "Delete"
    ref = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": metadata.namespace}
    finalizers = [FINALIZER] if policy == "Delete" else []
    return types.from_plain(
        PersistentVolume,
        {
            "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}, "finalizers": finalizers},
            "spec": {
                "capacity": {"storage": (spec.resources.requests or {}).get("storage", "0")},
                "accessModes": list(spec.accessModes or ()),
                "volumeMode": spec.volumeMode or "Filesystem",
                "storageClassName": storage_class.metadata.name,
                "volumeAttributesClassName": spec.volumeAttributesClassName or None,
                "persistentVolumeReclaimPolicy": policy,
                "mountOptions": list(storage_class.mountOptions or ()),
                "claimRef": {**ref, "name": metadata.name, "uid": metadata.uid},
                "csi": {"driver": PROVISIONER, "volumeHandle": name},
            },
        },
    )


def is_ours(volume: Any) -> bool:
    """Whether we made the volume."""
    return (volume.metadata.annotations or {}).get(PROVISIONED_BY) == PROVISIONER


def is_to_go(volume: Any) -> bool:
    """Whether a volume of ours is released, and not to be kept."""
    policy = volume.spec.persistentVolumeReclaimPolicy
    return bool(volume.status.phase == "Released" and policy == "Delete")
