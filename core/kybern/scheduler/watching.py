"""From informers to snapshot and queue: every change is applied, then pods it may help are woken."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kybern.scheduler.changes import node_actions, pod_actions, schedules_alike
from kybern.scheduler.podinfo import PodInfo, is_terminal
from kybern.scheduler.policy import Action, ClusterEvent, Resource

if TYPE_CHECKING:
    from kybern.scheduler.scheduler import Scheduler

__all__ = ["Watching"]


def _other_kinds() -> dict[Resource, type[Any]]:
    from kybern.api.core import Namespace, PersistentVolume, PersistentVolumeClaim
    from kybern.api.resource import DeviceClass
    from kybern.api.storage import CSIDriver, CSINode, CSIStorageCapacity, StorageClass

    return {
        Resource.NAMESPACE: Namespace,
        Resource.PV: PersistentVolume,
        Resource.PVC: PersistentVolumeClaim,
        Resource.STORAGE_CLASS: StorageClass,
        Resource.CSI_NODE: CSINode,
        Resource.CSI_DRIVER: CSIDriver,
        Resource.CSI_STORAGE_CAPACITY: CSIStorageCapacity,
        Resource.DEVICE_CLASS: DeviceClass,
    }


class Watching:
    """The scheduler's ears."""

    def __init__(self, scheduler: Scheduler) -> None:
        from kybern.api.core import Node, Pod

        self._scheduler = scheduler
        self.pods = scheduler.informer(Pod)
        self.nodes = scheduler.informer(Node)
        wanted = {h.resource for p in scheduler.profiles.values() for name in p.policies for h in p.hints(name)}
        self._others = {r: scheduler.informer(kind) for r, kind in _other_kinds().items() if r in wanted}

    def start(self) -> None:
        """Begin to listen; what is there already is announced as added."""
        self.nodes.on_change(self._node_changed)
        self.pods.on_change(self._pod_changed)
        for resource, informer in self._others.items():
            informer.on_change(partial(self._other_changed, resource))

    def _other_changed(self, resource: Resource, old: Any, new: Any) -> None:
        action = Action.ADD if old is None else Action.DELETE if new is None else Action.UPDATE_OTHER
        self._scheduler.queue.happened(ClusterEvent(resource, action), old, new)

    def _node_changed(self, old: Any, new: Any) -> None:
        scheduler = self._scheduler
        if new is None:
            scheduler.snapshot.remove_node(old.metadata.name)
            action = Action.DELETE
        else:
            action = Action.ADD if old is None else node_actions(old, new)
            if action or old.status.images != new.status.images:
                scheduler.snapshot.add_or_update_node(new)
        if action:
            scheduler.queue.happened(ClusterEvent(Resource.NODE, action), old, new)

    def _pod_changed(self, old: Any, new: Any) -> None:
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            self._pod_changed(old, None)
            old = None
        if new is None or is_terminal(new):
            self._pod_left(old, new)
        elif new.spec.nodeName:
            self._pod_with_node(old, new)
        else:
            self._pod_without_node(old, new)

    def _pod_left(self, old: Any, new: Any) -> None:
        """Deleted, or run to its end."""
        scheduler = self._scheduler
        pod = old if new is None else new
        uid = pod.metadata.uid
        freed = uid in scheduler.snapshot.pods or bool(scheduler.nominator.node_of(uid))
        scheduler.queue.remove(uid)
        scheduler.nominator.remove(uid)
        scheduler.waiting.reject(uid, "", "removed")
        scheduler.snapshot.remove_pod(uid)
        if freed:
            scheduler.queue.happened(ClusterEvent(Resource.ASSIGNED_POD, Action.DELETE), pod, None)

    def _pod_with_node(self, old: Any, new: Any) -> None:
        scheduler = self._scheduler
        uid = new.metadata.uid
        known = scheduler.snapshot.pods.get(uid)
        alike = known is not None and old is not None and schedules_alike(old, new)
        if known is not None and alike and old.spec.nodeName:
            known[0].pod = new
            return
        scheduler.queue.remove(uid)
        scheduler.nominator.remove(uid)
        if known is not None and alike and known[1] == new.spec.nodeName:
            known[0].pod = new
            scheduler.snapshot.assumed.discard(uid)
        else:
            scheduler.snapshot.confirm_pod(PodInfo(new), new.spec.nodeName)
        if old is None or not old.spec.nodeName:
            scheduler.queue.happened(ClusterEvent(Resource.ASSIGNED_POD, Action.ADD), None, new)
            return
        action = pod_actions(old, new)
        if action:
            scheduler.queue.happened(ClusterEvent(Resource.ASSIGNED_POD, action), old, new)

    def _pod_without_node(self, old: Any, new: Any) -> None:
        scheduler = self._scheduler
        uid = new.metadata.uid
        if (
            new.spec.schedulerName or "default-scheduler"
        ) not in scheduler.profiles or uid in scheduler.snapshot.assumed:
            return
        pod = PodInfo(new)
        scheduler.nominator.update(pod)
        if uid not in scheduler.queue:
            scheduler.queue.add(pod)
            return
        action = pod_actions(old, new) if old is not None else Action(0)
        scheduler.queue.update(pod, ClusterEvent(Resource.TARGET_POD, action) if action else None)
