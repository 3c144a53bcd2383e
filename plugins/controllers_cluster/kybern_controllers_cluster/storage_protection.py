"""Volumes and claims in use are not taken away: their finalizer goes only when nobody uses them any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.pods import is_finished
from kybern_controllers_cluster.pod_claims import claim_keys, index_claims

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"


class ClaimProtectionController(Controller):
    """A PersistentVolumeClaim that is deleted stays until no running pod uses it."""

    name = "pvc-protection"

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolumeClaim, Pod

        self.client = context.client
        self.claims = context.watch(PersistentVolumeClaim, on=lambda old, new: new is not None)
        self.pods = context.watch(Pod, claim_keys, on=_lets_go)
        index_claims(self.pods)

    async def reconcile(self, key: Key) -> None:
        claim: Any = self.claims.get(key.name, key.namespace)
        if claim is None:
            return
        if not claim.metadata.deletionTimestamp:
            await _protect(self.client, claim, CLAIM_FINALIZER)
        elif not self._is_used(key):
            await _unprotect(self.client, claim, CLAIM_FINALIZER)

    def _is_used(self, key: Key) -> bool:
        """By a pod that is on a node and not finished; one without a node cannot start with a claim that goes."""
        pods = self.pods.by_index("claim", f"{key.namespace}/{key.name}")
        return any(pod.spec.nodeName and not is_finished(pod) for pod in pods)


class VolumeProtectionController(Controller):
    """A PersistentVolume that is deleted stays while it is bound."""

    name = "pv-protection"

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolume

        self.client = context.client
        self.volumes = context.watch(PersistentVolume, on=lambda old, new: new is not None)

    async def reconcile(self, key: Key) -> None:
        volume: Any = self.volumes.get(key.name)
        if volume is None:
            return
        if not volume.metadata.deletionTimestamp:
            await _protect(self.client, volume, VOLUME_FINALIZER)
        elif volume.status.phase != "Bound":
            await _unprotect(self.client, volume, VOLUME_FINALIZER)


class AttributesClassProtectionController(Controller):
    """A VolumeAttributesClass that is deleted stays while a volume has it or a claim wants it."""

    name = "volumeattributesclass-protection"

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolume, PersistentVolumeClaim
        from kybern.api.storage import VolumeAttributesClass

        self.client = context.client
        self.classes = context.watch(VolumeAttributesClass, on=lambda old, new: new is not None)
        self.claims = context.watch(PersistentVolumeClaim, _keys_of_classes, on=_changes_class)
        self.claims.add_index("attributes", _classes_of)
        self.volumes = context.watch(PersistentVolume, _keys_of_classes, on=_changes_class)
        self.volumes.add_index("attributes", _classes_of)

    async def reconcile(self, key: Key) -> None:
        found: Any = self.classes.get(key.name)
        if found is None:
            return
        if not found.metadata.deletionTimestamp:
            await _protect(self.client, found, ATTRIBUTES_FINALIZER)
        elif not (self.claims.by_index("attributes", key.name) or self.volumes.by_index("attributes", key.name)):
            await _unprotect(self.client, found, ATTRIBUTES_FINALIZER)


def _classes_of(obj: Any) -> set[str]:
    """The VolumeAttributesClasses that a claim or volume has, had or waits for."""
    names = [obj.spec.volumeAttributesClassName]
    if obj.kind == "PersistentVolumeClaim":
        names.append(obj.status.currentVolumeAttributesClassName)
        if obj.status.modifyVolumeStatus is not None:
            names.append(obj.status.modifyVolumeStatus.targetVolumeAttributesClassName)
    return {name for name in names if name}


def _keys_of_classes(obj: Any) -> Iterable[Key]:
    return [Key("", name) for name in _classes_of(obj)]


def _changes_class(old: Any, new: Any) -> bool:
    """Whether it let go of a class."""
    return old is not None and bool(_classes_of(old) - (_classes_of(new) if new is not None else set()))


def _lets_go(old: Any, new: Any) -> bool:
    """Whether a pod ended or went away."""
    return old is not None and (new is None or (is_finished(new) and not is_finished(old)))


async def _protect(client: Client, obj: Any, finalizer: str) -> None:
    """For objects from before the admission plugin gave finalizers."""
    finalizers = obj.metadata.finalizers or []
    if finalizer not in finalizers:
        await _set_finalizers(client, obj, [*finalizers, finalizer])


async def _unprotect(client: Client, obj: Any, finalizer: str) -> None:
    finalizers = obj.metadata.finalizers or []
    if finalizer in finalizers:
        await _set_finalizers(client, obj, [f for f in finalizers if f != finalizer])


async def _set_finalizers(client: Client, obj: Any, finalizers: list[str]) -> None:
    metadata = obj.metadata
    patch = {"metadata": {"resourceVersion": metadata.resourceVersion, "finalizers": finalizers or None}}
    try:
        await client.patch(type(obj), metadata.name, metadata.namespace or "", patch)
    except StatusError as error:
        if error.code != 404:
            raise
