"""Attaches volumes to the nodes of pods that use them, and detaches them when no pod there does.

Attaching itself is the CSI driver's: its attacher sees the VolumeAttachment and answers in its
status, which this controller shows in the node's `status.volumesAttached`. A volume is attached unless its
CSIDriver says that there is nothing to attach; a driver without such an object may need it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.pods import is_finished
from kybern_controllers_cluster.pod_claims import claim_keys, index_claims

EXCLUSIVE = "Volume is already exclusively attached to one node and can't be attached to another"
RETRY = 5.0
FORCED_AFTER = 360.0
"""So long a node that is not healthy may say that it still has a volume mounted."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})


_OURS = re.compile("csi-[0-9a-f]{64}")


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

        self.client, self.events, self.clock = context.client, context.events, context.clock
        self._untold: set[str] = set()
        """Attachments that have just succeeded."""
        self.pods = context.watch(Pod, _node_of, on=_concerns)
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName,) if pod.spec.nodeName else ())
        index_claims(self.pods)
        self.claims = context.watch(PersistentVolumeClaim, self._nodes_of_claim, on=_bound)
        self.volumes = context.informer(PersistentVolume)
        self.nodes = context.watch(Node, on=_uses_changed)
        self.drivers = context.watch(CSIDriver, lambda _: self._all_nodes())
        self.attachments = context.watch(VolumeAttachment, lambda a: (Key("", a.spec.nodeName),), on=self._note)
        self.attachments.add_index("node", lambda a: (a.spec.nodeName,))
        self.attachments.add_index("volume", lambda a: (a.spec.source.persistentVolumeName or "",))

    def _note(self, old: Any, new: Any) -> bool:
        if old is not None and new is not None and new.status.attached and not old.status.attached:
            self._untold.add(new.metadata.name)
        return True

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
        self._tell(wanted)
        waiting = False
        for name, attachment in existing.items():
            if name not in wanted and _OURS.fullmatch(name):
                waiting |= not await self._let_go(key.name, attachment)
        await self._show(key.name, existing)
        return None if all(attached) and not waiting else Result(RETRY)

    async def _let_go(self, node: str, attachment: Any) -> bool:
        """Detach, unless the node has the volume mounted still."""
        held = not self._in_use(node).isdisjoint(self._names_of(attachment))
        if held and not self._is_lost(self.nodes.get(node)):
            return False
        await self._detach(attachment)
        return True

    def _is_lost(self, node: Any) -> bool:
        """Whether what the node says of its mounts no longer counts."""
        if any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints or ()):
            return True
        ready = next((c for c in node.status.conditions or () if c.type == "Ready"), None)
        if ready is None or ready.status == "True":
            return False
        return self.clock.now() - parse_time(ready.lastTransitionTime) >= FORCED_AFTER

    def _tell(self, wanted: dict[str, tuple[Any, Any]]) -> None:
        """Say once of every volume that it is attached."""
        for name in self._untold & wanted.keys():
            volume, pod = wanted[name]
            text = f'AttachVolume.Attach succeeded for volume "{volume.metadata.name}" '
            self.events.event(pod, "Normal", "SuccessfulAttachVolume", text)
        self._untold -= wanted.keys()

    def _wanted(self, node: str) -> dict[str, tuple[Any, Any]]:
        """(volume, a pod that needs it) by name of attachment."""
        wanted = {}
        for pod in self.pods.by_index("node", node):
            for volume in () if is_finished(pod) else self._volumes_of(pod):
                wanted[attachment_name(volume, node)] = (volume, pod)
        return wanted

    def _volumes_of(self, pod: Any) -> Iterator[Any]:
        for key in claim_keys(pod):
            claim: Any = self.claims.get(key.name, key.namespace)
            if claim is None or claim.status.phase != "Bound" or not claim.spec.volumeName:
                continue
            volume: Any = self.volumes.get(claim.spec.volumeName)
            if volume is not None and volume.spec.csi is not None and self._is_attached(volume.spec.csi.driver):
                yield volume

    def _is_attached(self, driver: str) -> bool:
        found: Any = self.drivers.get(driver)
        return found is None or found.spec.attachRequired is not False

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
        if others and SHARED.isdisjoint(volume.spec.accessModes or ()):
            why = self._used_by(volume, pod.metadata.namespace, [a.spec.nodeName for a in others])
            text = f'Multi-Attach error for volume "{volume.metadata.name}" {why}'
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

    def _used_by(self, volume: Any, namespace: str, nodes: Sequence[str]) -> str:
        """Who has it elsewhere, without names of other namespaces."""
        pods = [p for node in nodes for p in self.pods.by_index("node", node) if volume in self._volumes_of(p)]
        if not pods:
            return EXCLUSIVE
        ours = sorted(str(p.metadata.name) for p in pods if p.metadata.namespace == namespace)
        others = len(pods) - len(ours)
        if not ours:
            return f"Volume is already used by {others} pod(s) in different namespaces"
        more = f" and {others} pod(s) in different namespaces" if others else ""
        return f"Volume is already used by pod(s) {', '.join(ours)}{more}"

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


def _concerns(old: Any, new: Any) -> bool:
    """Whether a pod with claims came to a node, ended, or went."""
    pod = new if new is not None else old
    if not any(claim_keys(pod)):
        return False
    if old is None or new is None:
        return True
    return bool(old.spec.nodeName != new.spec.nodeName) or is_finished(old) != is_finished(new)


def _bound(old: Any, new: Any) -> bool:
    return old is None or new is None or bool(old.status.phase != new.status.phase)


def _uses_changed(old: Any, new: Any) -> bool:
    """Whether a node came or went, or its volumes or taints did. Heartbeats are most of its changes."""
    if old is None or new is None:
        return True
    before, after = old.status, new.status
    volumes = (before.volumesInUse, before.volumesAttached) != (after.volumesInUse, after.volumesAttached)
    return bool(volumes or old.spec.taints != new.spec.taints)
