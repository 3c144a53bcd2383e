"""Binds PersistentVolumeClaims and PersistentVolumes to each other, and says what becomes of volumes afterwards.

A binding is four writes: the volume's claimRef, its phase, the claim's volumeName, its status. Each
is conditional on what was read, and each can be done again, so that the binding is finished by
whoever comes next when it stops half way. One worker does all keys: a claim's key has a namespace,
a volume's has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.storage import matching
from kybern.api.storage.classes import class_of, default_class, has_no_class
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.pods import is_finished
from kybern_controllers_cluster.pod_claims import claim_keys, index_claims

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
IN_TREE = "kubernetes.io/"
"""Provisioners that a controller manager may have built in; this one has none."""
WAIT = "WaitForFirstConsumer"


class PersistentVolumeBinder(Controller):
    """Keeps claims and volumes together."""

    name = "persistentvolume-binder"
    event_source = "persistentvolume-controller"
    workers = 1

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolume, PersistentVolumeClaim, Pod
        from kybern.api.storage import StorageClass

        self.client, self.events = context.client, context.events
        self.claims = context.watch(PersistentVolumeClaim, _claim_keys)
        self.claims.add_index("volume", lambda c: (c.spec.volumeName,) if c.spec.volumeName else ())
        self.volumes = context.watch(PersistentVolume, self._volume_keys)
        self.classes = context.watch(StorageClass, self._unbound_keys)
        self.pods = context.watch(Pod, claim_keys, on=_placed)
        index_claims(self.pods)

    def _volume_keys(self, volume: Any) -> Iterator[Key]:
        """The volume, the claims that have to do with it, and all that still look for one."""
        yield Key("", volume.metadata.name)
        if volume.spec.claimRef is not None:
            yield Key(volume.spec.claimRef.namespace, volume.spec.claimRef.name)
        else:
            yield from self._unbound_keys(volume)
        for claim in self.claims.by_index("volume", volume.metadata.name):
            yield _key(claim)

    def _unbound_keys(self, _: Any) -> Iterable[Key]:
        return [_key(c) for c in self.claims.list() if not c.spec.volumeName]

    async def reconcile(self, key: Key) -> None:
        if key.namespace:
            claim: Any = self.claims.get(key.name, key.namespace)
            if claim is not None:
                await self._claim(claim)
            return
        volume: Any = self.volumes.get(key.name)
        if volume is not None:
            await self._volume(volume)

    async def _claim(self, claim: Any) -> None:
        if BIND_COMPLETED in (claim.metadata.annotations or {}):
            await self._bound_claim(claim)
        elif claim.spec.volumeName:
            await self._claim_of_named_volume(claim, claim.spec.volumeName)
        else:
            await self._free_claim(claim)

    async def _free_claim(self, claim: Any) -> None:
        found = self.classes.get(class_of(claim))
        chosen = matching.SELECTED_NODE in (claim.metadata.annotations or {})
        delayed = found is not None and found.volumeBindingMode == WAIT and not chosen
        volume = matching.best_match(claim, self.volumes.list(), delayed)
        if volume is not None:
            await self._bind(volume, claim)
            return
        default = default_class(self.classes.list()) if has_no_class(claim) else None
        if default is not None:
            changed = types.copy(claim)
            changed.spec.storageClassName = default.metadata.name
            await self.client.update(changed)
            return
        if delayed:
            self._tell_what_it_waits_for(claim)
        elif class_of(claim):
            claim = await self._ask_for_provisioning(claim, found)
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self.events.event(claim, "Normal", "FailedBinding", text)
        await self._set_claim_phase(claim, "Pending")

    def _tell_what_it_waits_for(self, claim: Any) -> None:
        key = _key(claim)
        pods = self.pods.by_index("claim", f"{key.namespace}/{key.name}")
        waiting = sorted(str(p.metadata.name) for p in pods if not p.spec.nodeName and not is_finished(p))
        if waiting:
            text = f"waiting for pod {waiting[0]} to be scheduled"
            self.events.event(claim, "Normal", "WaitForPodScheduled", text)
        else:
            text = "waiting for first consumer to be created before binding"
            self.events.event(claim, "Normal", "WaitForFirstConsumer", text)

    async def _ask_for_provisioning(self, claim: Any, storage_class: Any) -> Any:
        """Tell the provisioner of the claim's class, by an annotation, that a volume is wanted."""
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
            self.events.event(claim, "Warning", "ProvisioningFailed", text)
            return claim
        provisioner = storage_class.provisioner
        if provisioner.startswith(IN_TREE):
            text = f"no volume plugin matched name: {provisioner}"
            self.events.event(claim, "Warning", "ProvisioningFailed", text)
            return claim
        annotations = claim.metadata.annotations or {}
        if annotations.get(PROVISIONER) != provisioner:
            changed = types.copy(claim)
            changed.metadata.annotations = {**annotations, PROVISIONER: provisioner, PROVISIONER_BETA: provisioner}
            claim = await self.client.update(changed)
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered."
        )
        self.events.event(claim, "Normal", "ExternalProvisioning", text)
        return claim

    async def _claim_of_named_volume(self, claim: Any, name: str) -> None:
        """The claim asks for one volume and no other."""
        volume: Any = self.volumes.get(name)
        problem: tuple[str, str] | None = None
        if volume is None:
            pass
        elif volume.spec.claimRef is None:
            why = matching.misfit(volume, claim)
            if not why:
                await self._bind(volume, claim)
                return
            problem = "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}'
        elif matching.is_for(volume, claim):
            await self._bind(volume, claim)
            return
        else:
            problem = "FailedBinding", f'volume "{name}" already bound to a different claim.'
        if problem is not None:
            self.events.event(claim, "Warning", *problem)
        await self._set_claim_phase(claim, "Pending")

    async def _bound_claim(self, claim: Any) -> None:
        name = claim.spec.volumeName
        volume: Any = self.volumes.get(name) if name else None
        if volume is None and name:
            volume = await self._fresh_volume(name)
        if volume is None:
            lost = "its PersistentVolume" if name else "reference to PersistentVolume"
            text = f"Bound claim has lost {lost}. Data on the volume is lost!"
            await self._set_claim_phase(claim, "Lost", ("ClaimLost", text))
        elif volume.spec.claimRef is None or volume.spec.claimRef.uid == claim.metadata.uid:
            await self._bind(volume, claim)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._set_claim_phase(claim, "Lost", ("ClaimMisbound", text))

    async def _fresh_volume(self, name: str) -> Any:
        """Lost is for ever: only the server's own word counts."""
        from kybern.api.core import PersistentVolume

        try:
            return await self.client.get(PersistentVolume, name)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def _set_claim_phase(self, claim: Any, phase: str, warning: tuple[str, str] | None = None) -> None:
        changed = types.copy(claim)
        changed.status.phase = phase
        changed.status.accessModes = changed.status.capacity = None
        if changed.status != claim.status:
            await self.client.update_status(changed)
            if warning is not None:
                self.events.event(claim, "Warning", *warning)

    async def _bind(self, volume: Any, claim: Any) -> None:
        volume = await self._claim_volume(volume, claim)
        volume = await self._set_volume_phase(volume, "Bound")
        claim = await self._name_volume(claim, volume)
        await self._set_bound(claim, volume)

    async def _claim_volume(self, volume: Any, claim: Any) -> Any:
        from kybern.api.core import ObjectReference

        ref, metadata = volume.spec.claimRef, claim.metadata
        if ref is not None and ref.uid == metadata.uid:
            return volume
        changed = types.copy(volume)
        if ref is None:
            changed.metadata.annotations = {**(volume.metadata.annotations or {}), BOUND_BY_CONTROLLER: "yes"}
        changed.spec.claimRef = ObjectReference(
            apiVersion="v1",
            kind="PersistentVolumeClaim",
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            resourceVersion=metadata.resourceVersion,
        )
        return await self.client.update(changed)

    async def _name_volume(self, claim: Any, volume: Any) -> Any:
        annotations = claim.metadata.annotations or {}
        if claim.spec.volumeName == volume.metadata.name and BIND_COMPLETED in annotations:
            return claim
        changed = types.copy(claim)
        new = {BIND_COMPLETED: "yes"}
        if claim.spec.volumeName != volume.metadata.name:
            changed.spec.volumeName = volume.metadata.name
            new[BOUND_BY_CONTROLLER] = "yes"
        changed.metadata.annotations = {**annotations, **new}
        return await self.client.update(changed)

    async def _set_bound(self, claim: Any, volume: Any) -> None:
        """Once bound, only an expansion changes the claim's capacity."""
        changed = types.copy(claim)
        if claim.status.phase != "Bound" or not claim.status.capacity:
            changed.status.capacity = dict(volume.spec.capacity or {}) or None
        changed.status.phase = "Bound"
        changed.status.accessModes = list(volume.spec.accessModes or ()) or None
        if claim.status.currentVolumeAttributesClassName is None:
            changed.status.currentVolumeAttributesClassName = volume.spec.volumeAttributesClassName
        if changed.status != claim.status:
            await self.client.update_status(changed)

    async def _volume(self, volume: Any) -> None:
        ref = volume.spec.claimRef
        if ref is None or not ref.uid:
            # One that is reserved by name only is bound when the claim is looked at.
            await self._set_volume_phase(volume, "Available")
            return
        claim = await self._claim_named(ref)
        if claim is None:
            await self._release(volume)
        elif claim.spec.volumeName == volume.metadata.name:
            if BIND_COMPLETED in (claim.metadata.annotations or {}):
                await self._set_volume_phase(volume, "Bound")
            else:
                await self._bind(volume, claim)
        elif claim.spec.volumeName:
            await self._unneeded(volume)
        elif matching.same_mode(volume, claim):
            await self._bind(volume, claim)
        else:
            text = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{ref.name}"'
            self.events.event(volume, "Warning", "VolumeMismatch", f"{text} due to incompatible volumeMode.")

    async def _claim_named(self, ref: Any) -> Any | None:
        """The very claim, by its uid; before a volume is given up the server is asked."""
        from kybern.api.core import PersistentVolumeClaim

        claim: Any = self.claims.get(ref.name, ref.namespace)
        if claim is None or claim.metadata.uid != ref.uid:
            try:
                claim = await self.client.get(PersistentVolumeClaim, ref.name, ref.namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                return None
        return claim if claim.metadata.uid == ref.uid else None

    async def _unneeded(self, volume: Any) -> None:
        """Its claim has another volume."""
        annotations = dict(volume.metadata.annotations or {})
        if PROVISIONED_BY in annotations and volume.spec.persistentVolumeReclaimPolicy == "Delete":
            await self._release(volume)
            return
        changed = types.copy(volume)
        if annotations.pop(BOUND_BY_CONTROLLER, None) is not None:
            changed.spec.claimRef = None
            changed.metadata.annotations = annotations or None
        else:
            changed.spec.claimRef.uid = None
        await self._set_volume_phase(await self.client.update(changed), "Available")

    async def _release(self, volume: Any) -> None:
        """The claim is gone; what was made by a provisioner is its to delete."""
        if volume.status.phase not in ("Released", "Failed"):
            volume = await self._set_volume_phase(volume, "Released")
        policy = volume.spec.persistentVolumeReclaimPolicy
        if policy == "Recycle":
            await self._fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        elif policy == "Delete" and PROVISIONED_BY not in (volume.metadata.annotations or {}):
            name = volume.metadata.name
            text = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
            await self._fail(volume, "VolumeFailedDelete", text)

    async def _fail(self, volume: Any, reason: str, message: str) -> None:
        if volume.status.phase != "Failed":
            await self._set_volume_phase(volume, "Failed", message)
            self.events.event(volume, "Warning", reason, message)

    async def _set_volume_phase(self, volume: Any, phase: str, message: str = "") -> Any:
        if volume.status.phase == phase:
            return volume
        changed = types.copy(volume)
        changed.status.phase = phase
        changed.status.message = message or None
        return await self.client.update_status(changed)


def _key(obj: Any) -> Key:
    return Key(obj.metadata.namespace or "", obj.metadata.name)


def _claim_keys(claim: Any) -> Iterator[Key]:
    """The claim, and its volume, which is released when the claim goes."""
    yield _key(claim)
    if claim.spec.volumeName:
        yield Key("", claim.spec.volumeName)


def _placed(old: Any, new: Any) -> bool:
    """Whether what a claim waits for changed: a pod came, went, or was given a node."""
    return old is None or new is None or bool(old.spec.nodeName != new.spec.nodeName)
