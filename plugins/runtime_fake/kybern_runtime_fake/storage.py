"""Volumes that only pretend, for claims on fake nodes: the provisioner `fake.kybern.dev` and its class `standard`.

It stands where a CSI driver's external provisioner, resizer and deleter stand, and does their writes
to the API and nothing else: nothing is stored anywhere. The class is made once at start, unless there is a default
class already; `[controllers] disable = ["fake-provisioner"]` switches both off.
"""

from __future__ import annotations

from typing import Any

from kybern.api import quantity, types
from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key

PROVISIONER = "fake.kybern.dev"
CLASS = "standard"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
WANTED = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
WAIT = "WaitForFirstConsumer"


class FakeProvisioner(Controller):
    """Makes, grows and deletes PersistentVolumes of its classes."""

    name = "fake-provisioner"
    event_source = PROVISIONER

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolume, PersistentVolumeClaim
        from kybern.api.storage import StorageClass

        self.client, self.events = context.client, context.events
        self.claims = context.watch(PersistentVolumeClaim, on=lambda old, new: new is not None)
        self.volumes = context.watch(PersistentVolume, on=lambda old, new: new is not None)
        self.classes = context.informer(StorageClass)

    async def run(self) -> None:
        """Give the cluster a default class if it has none."""
        await self.classes.synced()
        marked = [c for c in self.classes.list() if (c.metadata.annotations or {}).get(DEFAULT_CLASS) == "true"]
        if marked or self.classes.get(CLASS) is not None:
            return
        try:
            await self.client.create(default_class())
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def reconcile(self, key: Key) -> None:
        if not key.namespace:
            volume: Any = self.volumes.get(key.name)
            if volume is not None and is_to_go(volume):
                await self._delete(volume)
            return
        claim: Any = self.claims.get(key.name, key.namespace)
        if claim is None or claim.metadata.deletionTimestamp:
            return
        found = self.classes.get(claim.spec.storageClassName or "")
        if found is None or found.provisioner != PROVISIONER:
            return
        if not claim.spec.volumeName:
            await self._provision(claim, found)
        elif claim.status.phase == "Bound" and found.allowVolumeExpansion:
            await self._grow(claim)

    async def _provision(self, claim: Any, storage_class: Any) -> None:
        annotations = claim.metadata.annotations or {}
        if annotations.get(WANTED) != PROVISIONER:
            return
        if storage_class.volumeBindingMode == WAIT and SELECTED_NODE not in annotations:
            return
        volume = volume_for(claim, storage_class)
        if self.volumes.get(volume.metadata.name) is not None:
            return
        try:
            await self.client.create(volume)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            raise
        text = f"Successfully provisioned volume {volume.metadata.name}"
        self.events.event(claim, "Normal", "ProvisioningSucceeded", text)

    async def _grow(self, claim: Any) -> None:
        volume: Any = self.volumes.get(claim.spec.volumeName)
        wanted = (claim.spec.resources.requests or {}).get("storage", "0")
        held = (claim.status.capacity or {}).get("storage", "0")
        if volume is None or quantity.parse(wanted) <= quantity.parse(held):
            return
        if quantity.parse((volume.spec.capacity or {}).get("storage", "0")) < quantity.parse(wanted):
            grown = types.copy(volume)
            grown.spec.capacity = {"storage": wanted}
            await self.client.update(grown)
        changed = types.copy(claim)
        changed.status.capacity = {"storage": wanted}
        await self.client.update_status(changed)
        self.events.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _delete(self, volume: Any) -> None:
        metadata = volume.metadata
        try:
            await self.client.delete(type(volume), metadata.name, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise


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
    name = f"pvc-{metadata.uid}"
    ref = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": metadata.namespace}
    return types.from_plain(
        PersistentVolume,
        {
            "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
            "spec": {
                "capacity": {"storage": (spec.resources.requests or {}).get("storage", "0")},
                "accessModes": list(spec.accessModes or ()),
                "volumeMode": spec.volumeMode or "Filesystem",
                "storageClassName": storage_class.metadata.name,
                "persistentVolumeReclaimPolicy": storage_class.reclaimPolicy or "Delete",
                "mountOptions": list(storage_class.mountOptions or ()),
                "claimRef": {**ref, "name": metadata.name, "uid": metadata.uid},
                "csi": {"driver": PROVISIONER, "volumeHandle": name},
            },
        },
    )


def is_to_go(volume: Any) -> bool:
    """Whether it is ours, released, and not to be kept."""
    ours = (volume.metadata.annotations or {}).get(PROVISIONED_BY) == PROVISIONER
    policy = volume.spec.persistentVolumeReclaimPolicy
    return ours and volume.status.phase == "Released" and policy == "Delete" and not volume.metadata.deletionTimestamp
