"""What a node agent and a container runtime say to each other, after CRI v1's messages: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs

__all__ = [
    "Container",
    "ContainerConfig",
    "ContainerEvent",
    "ContainerResources",
    "ContainerState",
    "ContainerStatus",
    "ExecResult",
    "FilesystemUsage",
    "Image",
    "LogLine",
    "MachineInfo",
    "Mount",
    "PodSandbox",
    "PodSandboxConfig",
    "PodUsage",
    "PortMapping",
    "RuntimeCondition",
    "RuntimeFault",
    "RuntimeStatus",
    "SandboxState",
    "Version",
]


class RuntimeFault(Exception):
    """A runtime's refusal. `code` is a gRPC status name: `NotFound`, `AlreadyExists`, `Unavailable`, `Unknown`, ...

    `reason` may name a kubelet reason that says more than the code (`RegistryUnavailable`,
    `SignatureValidationFailed`, `ErrImageNeverPull`).
    """

    def __init__(self, code: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason

    def __str__(self) -> str:
        """As the kubelet shows an error that came over gRPC."""
        return f"rpc error: code = {self.code} desc = {self.message}"


class SandboxState(StrEnum):
    """Whether containers can run in the sandbox."""

    READY = "SANDBOX_READY"
    NOTREADY = "SANDBOX_NOTREADY"


class ContainerState(StrEnum):
    """Where a container is in its life; it never goes back."""

    CREATED = "CONTAINER_CREATED"
    RUNNING = "CONTAINER_RUNNING"
    EXITED = "CONTAINER_EXITED"
    UNKNOWN = "CONTAINER_UNKNOWN"


@attrs.frozen
class PortMapping:
    """A port of the pod that is also a port of the node."""

    protocol: str
    container_port: int
    host_port: int = 0
    host_ip: str = ""


@attrs.frozen
class Mount:
    """A path of the node that a container sees."""

    container_path: str
    host_path: str
    readonly: bool = False
    propagation: str = "None"
    """None, HostToContainer or Bidirectional."""


@attrs.frozen
class ContainerResources:
    """Limits in the kernel's units."""

    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    memory_limit_in_bytes: int = 0
    oom_score_adj: int = 0


@attrs.frozen
class PodSandboxConfig:
    """What a pod's sandbox shall be. `name`, `namespace`, `uid` and `attempt` identify it."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns_servers: Sequence[str] = ()
    dns_searches: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    port_mappings: Sequence[PortMapping] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    cgroup_parent: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    sysctls: Mapping[str, str] = attrs.field(factory=dict)
    pod_security: Any = None
    """The pod's `securityContext` Struct, for runtimes that enforce it."""


@attrs.frozen
class PodSandbox:
    """A sandbox as the runtime knows it (CRI's PodSandbox and PodSandboxStatus in one)."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    state: SandboxState
    created_at: float
    """Wall time, seconds since the epoch; so are all times here."""
    ips: Sequence[str] = ()
    """The pod's addresses, the primary one first; empty with the host's network."""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    runtime_handler: str = ""


@attrs.frozen
class ContainerConfig:
    """What a container shall be. `name` and `attempt` identify it within its sandbox."""

    name: str
    image: str
    """The reference the agent got from `Images.pull_image` or `image_status`."""
    attempt: int = 0
    user_image: str = ""
    """The image as the pod's author wrote it."""
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    working_dir: str = ""
    envs: Sequence[tuple[str, str]] = ()
    mounts: Sequence[Mount] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    log_path: str = ""
    """Relative to the sandbox's log directory."""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    stop_signal: str = ""
    resources: ContainerResources = ContainerResources()
    security: Any = None
    """The container's `securityContext` Struct."""


@attrs.frozen
class Container:
    """A container in a list."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    created_at: float
    image: str = ""
    image_ref: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class ContainerStatus:
    """All that is known of one container."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    """For an exited one: `Completed`, `Error`, `OOMKilled`, `StartError`, ..."""
    message: str = ""
    """For an exited one: what it wrote to its termination message, or what the runtime has to say."""
    image: str = ""
    image_ref: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    log_path: str = ""
    resources: ContainerResources | None = None
    """The limits in force; None when the runtime does not tell, and then they are not changed in place."""


@attrs.frozen
class ContainerEvent:
    """Something happened to a container or sandbox of a pod."""

    type: str
    """created, started, stopped or deleted."""
    pod_uid: str
    container_id: str


@attrs.frozen
class ExecResult:
    """How a command in a container ended."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


@attrs.frozen
class LogLine:
    """One line of a container's output, without its newline."""

    time: float
    stream: str
    """stdout or stderr."""
    text: bytes


@attrs.frozen
class PodUsage:
    """What a pod's containers use now."""

    uid: str
    name: str
    namespace: str
    containers: Mapping[str, tuple[int, int]]
    """By container name: (cpu in thousandths of a core, memory working set in bytes)."""


@attrs.frozen
class FilesystemUsage:
    """Bytes and inodes of the filesystem that holds images or containers."""

    used_bytes: int
    capacity_bytes: int
    inodes_used: int = 0


@attrs.frozen
class Image:
    """An image on the node. `id` is what a container's `imageID` shows."""

    id: str
    repo_tags: Sequence[str] = ()
    repo_digests: Sequence[str] = ()
    size: int = 0
    user: str = ""
    """Numeric uid the image runs as, or ""."""


@attrs.frozen
class Version:
    """Name and versions of the runtime, as in `containerd`, `1.6.20`."""

    runtime_name: str
    runtime_version: str
    runtime_api_version: str = "v1"


@attrs.frozen
class RuntimeCondition:
    """`RuntimeReady` or `NetworkReady`."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


@attrs.frozen
class RuntimeStatus:
    """Whether the runtime can serve. A node whose runtime or network is not ready is not Ready."""

    conditions: Sequence[RuntimeCondition]


@attrs.frozen
class MachineInfo:
    """What the node is made of; an empty text or 0 means: the agent's configuration decides."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    ephemeral_storage_bytes: int = 0
    pods: int = 0
    operating_system: str = "linux"
    architecture: str = "amd64"
    kernel_version: str = ""
    os_image: str = ""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
