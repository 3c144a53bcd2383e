"""Which volumes are attached to which node: VolumeAttachments for the CSI volumes of a node's pods.

The attaching itself is the CSI driver's: its attacher sees the VolumeAttachment and answers in its
status, which this controller shows in the node's `status.volumesAttached`. A volume of a driver that the cluster
does not know (no CSIDriver object) or that attaches nothing is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.pods import is_finished

MULTI_ATTACH = "Volume is already exclusively attached to one node and can't be attached to another"
RETRY = 5.0
ALONE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})


def attachment_name(volume: Any, node: str) -> str:
    """The name follows from what is attached where, so that it is attached once only."""
    csi = volume.spec.csi
    return "csi-" + hashlib.sha256(f"{csi.volumeHandle}{csi.driver}{node}".encode()).hexdigest()


def unique_name(volume: Any) -> str:
    """As node statuses name a volume."""
    return f"kubernetes.io/csi/{volume.spec.csi.driver}^{volume.spec.csi.volumeHandle}"


class AttachDetachController(Controller):
    """Reconciles nodes."""

    name = "persistentvolume-attach-detach"
    event_source = "attachdetach-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
        from kybern.api.storage import CSIDriver, VolumeAttachment

        self.client, self.events = context.client, context.events
        self.pods = context.watch(Pod, _node_of, on=_concerns)
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName,) if pod.spec.nodeName else ())
        self.pods.add_index("claim", lambda pod: [f"{k.namespace}/{k.name}" for k in _claims_of(pod)])
        self.claims = context.watch(PersistentVolumeClaim, self._nodes_of_claim, on=_bound)
        self.volumes = context.informer(PersistentVolume)
        self.nodes = context.watch(Node, on=_uses_changed)
        self.drivers = context.watch(CSIDriver, lambda _: self._all_nodes())
        self.attachments = context.watch(VolumeAttachment, lambda a: (Key("", a.spec.nodeName),))
        self.attachments.add_index("node", lambda a: (a.spec.nodeName,))
        self.attachments.add_index("volume", lambda a: (a.spec.source.persistentVolumeName or "",))

    def _nodes_of_claim(self, claim: Any) -> Iterable[Key]:
        pods = self.pods.by_index("claim", f"{claim.metadata.namespace}/{claim.metadata.name}")
        return {key for pod in pods for key in _node_of(pod)}

    def _all_nodes(self) -> Iterable[Key]:
        return [Key("", node.metadata.name or "") for node in self.nodes.list()]

    async def reconcile(self, key: Key) -> Result | None:
        existing = {str(a.metadata.name): a for a in self.attachments.by_index("node", key.name)}
        wanted = self._wanted(key.name)
        missing = [name for name in wanted if name not in existing]
        attached = [await self._attach(*wanted[name], key.name, name) for name in missing]
        in_use = self._in_use(key.name)
        for name, attachment in existing.items():
            if name not in wanted and not in_use & set(self._names_of(attachment)):
                await self._detach(attachment)
        await self._show(key.name, existing)
        return None if all(attached) else Result(RETRY)

    def _wanted(self, node: str) -> dict[str, tuple[Any, Any]]:
        """(volume, a pod that needs it) by name of attachment."""
        wanted = {}
        for pod in self.pods.by_index("node", node):
            for volume in () if is_finished(pod) else self._volumes_of(pod):
                wanted[attachment_name(volume, node)] = (volume, pod)
        return wanted

    def _volumes_of(self, pod: Any) -> Iterator[Any]:
        for key in _claims_of(pod):
            claim: Any = self.claims.get(key.name, key.namespace)
            if claim is None or claim.status.phase != "Bound" or not claim.spec.volumeName:
                continue
            volume: Any = self.volumes.get(claim.spec.volumeName)
            if volume is not None and volume.spec.csi is not None and self._is_attached(volume.spec.csi.driver):
                yield volume

    def _is_attached(self, driver: str) -> bool:
        found: Any = self.drivers.get(driver)
        return found is not None and found.spec.attachRequired is not False

    def _names_of(self, attachment: Any) -> Iterator[str]:
        volume: Any = self.volumes.get(attachment.spec.source.persistentVolumeName or "")
        if volume is not None and volume.spec.csi is not None:
            yield unique_name(volume)

    def _in_use(self, node: str) -> set[str]:
        """What the node says it still has mounted."""
        found: Any = self.nodes.get(node)
        return set(found.status.volumesInUse or ()) if found is not None else set()

    async def _attach(self, volume: Any, pod: Any, node: str, name: str) -> bool:
        """False when it must first be detached elsewhere."""
        from kybern.api.meta import ObjectMeta
        from kybern.api.storage import VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec

        others = [a for a in self.attachments.by_index("volume", volume.metadata.name) if a.spec.nodeName != node]
        if others and set(volume.spec.accessModes or ()) <= ALONE:
            text = f'Multi-Attach error for volume "{volume.metadata.name}" {MULTI_ATTACH}'
            self.events.event(pod, "Warning", "FailedAttachVolume", text)
            return False
        source = VolumeAttachmentSource(persistentVolumeName=volume.metadata.name)
        spec = VolumeAttachmentSpec(attacher=volume.spec.csi.driver, nodeName=node, source=source)
        try:
            await self.client.create(VolumeAttachment(metadata=ObjectMeta(name=name), spec=spec))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return True

    async def _detach(self, attachment: Any) -> None:
        metadata = attachment.metadata
        if metadata.deletionTimestamp:
            return
        try:
            await self.client.delete(type(attachment), metadata.name, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _show(self, node: str, existing: dict[str, Any]) -> None:
        """In the node's status: what is attached."""
        from kybern.api.core import AttachedVolume

        found: Any = self.nodes.get(node)
        if found is None:
            return
        names = sorted(name for a in existing.values() if a.status.attached for name in self._names_of(a))
        shown = [AttachedVolume(name=name, devicePath="") for name in names] or None
        if shown != found.status.volumesAttached:
            changed = types.copy(found)
            changed.status.volumesAttached = shown
            await self.client.update_status(changed)


def _node_of(pod: Any) -> Iterable[Key]:
    return (Key("", pod.spec.nodeName),) if pod.spec.nodeName else ()


def _claims_of(pod: Any) -> Iterator[Key]:
    for volume in pod.spec.volumes or ():
        if volume.persistentVolumeClaim is not None:
            yield Key(pod.metadata.namespace, volume.persistentVolumeClaim.claimName)
        elif volume.ephemeral is not None:
            yield Key(pod.metadata.namespace, f"{pod.metadata.name}-{volume.name}")


def _concerns(old: Any, new: Any) -> bool:
    """Whether a pod with claims came to a node, ended, or went."""
    pod = new if new is not None else old
    if not any(_claims_of(pod)):
        return False
    if old is None or new is None:
        return True
    return bool(old.spec.nodeName != new.spec.nodeName) or is_finished(old) != is_finished(new)


def _bound(old: Any, new: Any) -> bool:
    return old is None or new is None or bool(old.status.phase != new.status.phase)


def _uses_changed(old: Any, new: Any) -> bool:
    """Whether a node came or went, or its volumes did. Heartbeats are most of its changes."""
    if old is None or new is None:
        return True
    before, after = old.status, new.status
    return bool((before.volumesInUse, before.volumesAttached) != (after.volumesInUse, after.volumesAttached))
