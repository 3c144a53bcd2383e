"""VolumeRestrictions: a ReadWriteOncePod claim serves one pod; some disks serve one node's pods only if read-only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Snapshot
from kybern_scheduler_policies.volume_claims import Volumes, claims_of

REASON_DISK = "node(s) had no available disk"
REASON_ONCE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


class _Users:
    """How many other pods use the pod's ReadWriteOncePod claims."""

    __slots__ = ("claims", "pods")

    def __init__(self, claims: frozenset[str], pods: int) -> None:
        self.claims = claims
        self.pods = pods

    def clone(self) -> _Users:
        return _Users(self.claims, self.pods)

    def change(self, other: PodInfo, sign: int) -> None:
        self.pods += sign * sum(ref.name in self.claims for ref in claims_of(other))


class VolumeRestrictions(Policy):
    """Filters by claims and disks that cannot be shared."""

    name = "VolumeRestrictions"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        super().__init__(args, handle)
        self._volumes = Volumes(handle)

    def hints(self) -> Iterable[Hint]:
        """Pods that leave, new claims and nodes."""
        return (
            Hint(Resource.ASSIGNED_POD, Action.DELETE),
            Hint(Resource.PVC, Action.ADD | Action.UPDATE),
            Hint(Resource.NODE, Action.ADD),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Count the other users of ReadWriteOncePod claims."""
        once: set[str] = set()
        for ref in claims_of(pod):
            claim = self._volumes.claim(ref.name, pod.namespace)
            if claim is None:
                return self.unresolvable(f'persistentvolumeclaim "{ref.name}" not found')
            if "ReadWriteOncePod" in (claim.spec.accessModes or ()):
                once.add(ref.name)
        if not once and not any(_disk(v) for v in pod.pod.spec.volumes or ()):
            return SKIP
        users = _Users(frozenset(once), 0)
        if once:
            for other, _ in snapshot.pods.values():
                if other.namespace == pod.namespace and other.uid != pod.uid:
                    users.change(other, 1)
        state.data[self.name] = users
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """One user more."""
        if other.namespace == pod.namespace:
            state.data[self.name].change(other, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """One user less."""
        if other.namespace == pod.namespace:
            state.data[self.name].change(other, -1)

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where a disk is taken, or a claim has its pod."""
        mine = [d for d in map(_disk, pod.pod.spec.volumes or ()) if d is not None]
        if mine:
            for other in info.pods.values():
                theirs = [d for d in map(_disk, other.pod.spec.volumes or ()) if d is not None]
                if any(_clash(a, b) for a in mine for b in theirs):
                    return self.unschedulable(REASON_DISK)
        return self.unschedulable(REASON_ONCE) if state.data[self.name].pods else None


Disk = tuple[str, frozenset[str], bool, bool]
"""(sort, identities, read-only, read-only sharing allowed)"""


def _disk(volume: Any) -> Disk | None:
    """The disk that an inline volume mounts, when it is one that cannot be shared freely."""
    if volume.gcePersistentDisk is not None:
        disk = volume.gcePersistentDisk
        return "gce", frozenset((disk.pdName,)), bool(disk.readOnly), True
    if volume.awsElasticBlockStore is not None:
        return "aws", frozenset((volume.awsElasticBlockStore.volumeID,)), False, False
    if volume.iscsi is not None:
        return "iscsi", frozenset((volume.iscsi.iqn,)), bool(volume.iscsi.readOnly), True
    if volume.rbd is not None:
        disk = volume.rbd
        names = (f"{monitor}/{disk.pool or 'rbd'}/{disk.image}" for monitor in disk.monitors or ())
        return "rbd", frozenset(names), bool(disk.readOnly), True
    return None


def _clash(a: Disk, b: Disk) -> bool:
    same = a[0] == b[0] and bool(a[1] & b[1])
    return same and not (a[3] and a[2] and b[2])
