"""The seam to storage, after CSI 1.x: `VolumeDriver` with its identity, controller and node calls in one class.

Provisioning and attaching are called by the storage controllers, staging and publishing by the
node agent before a pod's containers start and after they ended. One driver object serves a cluster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import attrs

__all__ = [
    "AccessMode", "Capability", "ContentSource", "Snapshot", "Topology", "Volume", "VolumeDriver", "VolumeFault",
    "VolumeUsage", "VolumeUse",
]  # fmt: skip

Topology = Mapping[str, str]
"""Segments such as `{"topology.example.com/node": "n1"}`."""


class VolumeFault(Exception):
    """A driver's refusal. `code` is a gRPC status name with CSI's meaning: `NotFound`, `AlreadyExists` (exists and is
    incompatible), `OutOfRange` (capacity), `ResourceExhausted`, `FailedPrecondition` (in use), `Aborted` (another
    operation on the volume is running), `InvalidArgument`, `Unimplemented`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {message}")
        self.code = code
        self.message = message


class AccessMode(StrEnum):
    """Who may use the volume at once; the names are those of PersistentVolume."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_ONLY_MANY = "ReadOnlyMany"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class Capability(StrEnum):
    """What a driver can do beyond creating and publishing."""

    ATTACH = "PUBLISH_UNPUBLISH_VOLUME"
    """Volumes are attached to a node before they are staged; without it attach and detach are never called."""
    STAGE = "STAGE_UNSTAGE_VOLUME"
    """Volumes are staged once per node before they are published per pod."""
    EXPAND_CONTROLLER = "EXPAND_VOLUME"
    EXPAND_NODE = "EXPAND_VOLUME_NODE"
    SNAPSHOT = "CREATE_DELETE_SNAPSHOT"
    CLONE = "CLONE_VOLUME"
    LIST = "LIST_VOLUMES"
    CAPACITY = "GET_CAPACITY"
    USAGE = "GET_VOLUME_STATS"
    TOPOLOGY = "VOLUME_ACCESSIBILITY_CONSTRAINTS"


@attrs.frozen
class VolumeUse:
    """How a volume will be used."""

    access_modes: Sequence[AccessMode]
    block: bool = False
    """A raw block device instead of a filesystem."""
    fs_type: str = ""
    mount_flags: Sequence[str] = ()
    fs_group: int | None = None


@attrs.frozen
class ContentSource:
    """What a new volume starts with: exactly one of the two."""

    snapshot_id: str = ""
    volume_id: str = ""


@attrs.frozen
class Volume:
    """A provisioned volume. `context` goes into the PersistentVolume and comes back with every node call."""

    id: str
    capacity_bytes: int
    context: Mapping[str, str] = attrs.field(factory=dict)
    accessible: Sequence[Topology] = ()
    """Where it can be used; empty: everywhere."""
    source: ContentSource | None = None


@attrs.frozen
class Snapshot:
    """A volume's content at a moment (seconds since the epoch)."""

    id: str
    volume_id: str
    created_at: float
    size_bytes: int
    ready: bool


@attrs.frozen
class VolumeUsage:
    """What a published volume holds."""

    used_bytes: int
    capacity_bytes: int
    used_inodes: int = 0
    total_inodes: int = 0


class VolumeDriver(ABC):
    """Storage of one kind, known by `name` (a CSIDriver object's name).

    Every call is idempotent: repeated with the same arguments it succeeds with the same answer,
    because callers retry after a crash without knowing how far they came. Calls for one volume may
    come while another is running; answer `Aborted` then. All methods raise VolumeFault.
    """

    name: str
    """As in `local.csi.kybern.dev`."""

    async def probe(self) -> bool:
        """Identity: whether the driver is ready to serve."""
        return True

    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """Identity: what the driver can do. Constant."""

    @abstractmethod
    async def create_volume(
        self,
        name: str,
        capacity_bytes: int,
        limit_bytes: int,
        use: VolumeUse,
        parameters: Mapping[str, str],
        topologies: Sequence[Topology] = (),
        source: ContentSource | None = None,
    ) -> Volume:
        """Controller: make a volume of at least `capacity_bytes` and at most `limit_bytes` (0: no limit).

        `name` is the idempotency key. `parameters`: the StorageClass's. `topologies`: where it must
        be usable, the preferred place first.
        """

    @abstractmethod
    async def delete_volume(self, volume_id: str) -> None:
        """Controller: destroy it; succeeds when it is gone, `FailedPrecondition` while it is in use."""

    async def attach(
        self, volume_id: str, node_id: str, use: VolumeUse, readonly: bool, context: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Controller: make the volume reachable from a node; returns what `stage` and `publish` there need."""
        raise VolumeFault("Unimplemented", f"{self.name} does not attach volumes")

    async def detach(self, volume_id: str, node_id: str) -> None:
        """Controller: undo `attach`; succeeds when it is not attached."""
        raise VolumeFault("Unimplemented", f"{self.name} does not attach volumes")

    async def expand(self, volume_id: str, capacity_bytes: int) -> tuple[int, bool]:
        """Controller: grow it; returns (new capacity, whether the node must `expand_node` too)."""
        raise VolumeFault("Unimplemented", f"{self.name} cannot expand volumes")

    async def create_snapshot(self, name: str, volume_id: str, parameters: Mapping[str, str]) -> Snapshot:
        """Controller: keep the volume's content; `name` is the idempotency key."""
        raise VolumeFault("Unimplemented", f"{self.name} cannot take snapshots")

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Controller: forget it; succeeds when it is gone."""
        raise VolumeFault("Unimplemented", f"{self.name} cannot take snapshots")

    async def list_volumes(self) -> AsyncIterator[Volume]:
        """Controller: all volumes there are (a coroutine that returns the iterator)."""
        raise VolumeFault("Unimplemented", f"{self.name} cannot list volumes")

    async def available_capacity(self, parameters: Mapping[str, str], topology: Topology) -> int:
        """Controller: bytes that can still be provisioned there."""
        raise VolumeFault("Unimplemented", f"{self.name} does not tell its capacity")

    async def node_id(self, node_name: str) -> tuple[str, Topology, int]:
        """Node: (the driver's name for the node, where it is, how many volumes it can take; 0: no limit)."""
        return node_name, {}, 0

    async def stage(
        self, volume_id: str, node_name: str, staging: Path, use: VolumeUse, publish_context: Mapping[str, str],
        context: Mapping[str, str], secrets: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Node: format if empty and mount at `staging`, once per node; the directory exists."""
        raise VolumeFault("Unimplemented", f"{self.name} does not stage volumes")

    async def unstage(self, volume_id: str, node_name: str, staging: Path) -> None:
        """Node: undo `stage`; succeeds when it is not staged."""
        raise VolumeFault("Unimplemented", f"{self.name} does not stage volumes")

    @abstractmethod
    async def publish(
        self, volume_id: str, node_name: str, target: Path, staging: Path | None, use: VolumeUse, readonly: bool,
        publish_context: Mapping[str, str], context: Mapping[str, str], secrets: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Node: make the volume appear at `target` (its parent exists) for one pod. An ephemeral inline volume has
        the pod's name, namespace and uid in `context` under `csi.storage.k8s.io/`."""

    @abstractmethod
    async def unpublish(self, volume_id: str, node_name: str, target: Path) -> None:
        """Node: undo `publish` and remove `target`; succeeds when it is not there."""

    async def expand_node(self, volume_id: str, node_name: str, path: Path, capacity_bytes: int) -> int:
        """Node: grow the filesystem of a mounted volume; returns its capacity."""
        raise VolumeFault("Unimplemented", f"{self.name} cannot expand volumes")

    async def usage(self, volume_id: str, node_name: str, path: Path) -> VolumeUsage:
        """Node: what the volume mounted at `path` holds."""
        raise VolumeFault("Unimplemented", f"{self.name} does not measure volumes")
