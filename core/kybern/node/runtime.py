"""The seam to what runs containers, after CRI v1: `Runtime` (RuntimeService) and `Images` (ImageService).

A plugin registers a `RuntimeDriver` class per name; the node agent makes one driver per node and
talks to nothing else to pull, create, start, stop and watch containers. Everything the agent must
remember across its own restart it reads back from here, so a runtime keeps labels, annotations,
attempts and exit states until the agent removes the container.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from kybern.clock import Clock

if TYPE_CHECKING:
    from kybern.node.probe import Prober

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
    "Images",
    "LogLine",
    "MachineInfo",
    "Mount",
    "PodSandbox",
    "PodSandboxConfig",
    "PodUsage",
    "PortMapping",
    "Runtime",
    "RuntimeCondition",
    "RuntimeDriver",
    "RuntimeFault",
    "RuntimeStatus",
    "SandboxState",
    "Version",
]  # fmt: skip


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


class Runtime(ABC):
    """Sandboxes and containers of one node (CRI v1 `RuntimeService`).

    All methods may be called concurrently; the agent never runs two calls for the same pod at the
    same time, except `container_logs` and the probes. Every method raises RuntimeFault. Methods
    that stop or remove are idempotent: stopping what is stopped and removing what is gone succeed.
    """

    @abstractmethod
    async def version(self) -> Version:
        """Name and versions."""

    @abstractmethod
    async def status(self) -> RuntimeStatus:
        """Whether containers can be started and have a network."""

    async def update_runtime_config(self, pod_cidr: str) -> None:
        """Tell the range that the node's pods take addresses from (comma-separated when dual-stack). Runtimes whose
        network has its own address management ignore it."""
        return

    @abstractmethod
    async def run_pod_sandbox(self, config: PodSandboxConfig, runtime_handler: str = "") -> str:
        """Create and start a sandbox; returns its id when it is READY and has its addresses.

        On failure nothing is left behind that `list_pod_sandboxes` does not show.
        `AlreadyExists` when that pod has a sandbox of the same attempt.
        """

    @abstractmethod
    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Stop every container in it at once, give back the addresses; the sandbox becomes NOTREADY."""

    @abstractmethod
    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """Forget the sandbox and all its containers, stopping them first if need be."""

    @abstractmethod
    async def list_pod_sandboxes(self, uid: str = "") -> Sequence[PodSandbox]:
        """Sandboxes of a pod, or ("" ) all; newest first."""

    @abstractmethod
    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox_config: PodSandboxConfig) -> str:
        """Create a container in a READY sandbox; returns its id. It is CREATED. `NotFound` without sandbox or image."""

    @abstractmethod
    async def start_container(self, container_id: str) -> None:
        """Start a CREATED container. On failure it is EXITED with reason `StartError` and code 128."""

    @abstractmethod
    async def stop_container(self, container_id: str, timeout: float) -> None:
        """Ask the container to end, kill it after `timeout` seconds; returns when it is EXITED.

        A second call while one waits applies its own timeout too: the shorter one wins.
        """

    @abstractmethod
    async def remove_container(self, container_id: str) -> None:
        """Forget a container and its log; a running one is killed first."""

    @abstractmethod
    async def list_containers(self, uid: str = "") -> Sequence[Container]:
        """Containers of a pod, or ("") all, in any state; newest first."""

    @abstractmethod
    async def container_status(self, container_id: str) -> ContainerStatus:
        """All about one. `NotFound` when it was removed."""

    async def pod_containers(self, uid: str) -> Sequence[ContainerStatus]:
        """The status of every container of a pod, newest first. A runtime that can tell in one go overrides this."""
        found = []
        for container in await self.list_containers(uid):
            try:
                found.append(await self.container_status(container.id))
            except RuntimeFault as fault:
                if fault.code != "NotFound":
                    raise
        return found

    async def update_container_resources(self, container_id: str, resources: ContainerResources) -> None:
        """Change the limits of a container in place."""
        raise RuntimeFault("Unimplemented", "this runtime cannot resize containers in place")

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float = 0.0) -> ExecResult:
        """Run a command in a RUNNING container and wait; `DeadlineExceeded` after `timeout` seconds (0: no limit)."""
        raise RuntimeFault("Unimplemented", "this runtime cannot run commands in containers")

    @abstractmethod
    async def container_logs(self, container_id: str, *, follow: bool = False) -> AsyncIterator[LogLine]:
        """The container's output from its beginning, oldest first; with `follow` until the container ends.

        A coroutine that returns the iterator, so that `NotFound` comes before the first line.
        """

    async def pod_usage(self, uids: Collection[str] | None = None) -> Sequence[PodUsage]:
        """What running pods use now, all or (at least) those named; empty when the runtime does not measure."""
        return ()

    def pod_annotated(self, uid: str, annotations: Mapping[str, str]) -> None:  # noqa: B027  most runtimes do not care
        """The annotations of a pod with a sandbox changed (CRI: UpdatePodSandboxResources). Must not wait or raise."""

    def on_event(self, callback: Callable[[ContainerEvent], None]) -> bool:
        """Call `callback` on the event loop for every change the agent did not ask for itself (it may also for others).

        Returns False when the runtime cannot tell; then the agent lists the containers every second.
        """
        return False


class Images(ABC):
    """Images of one node (CRI v1 `ImageService`). Every method raises RuntimeFault."""

    @abstractmethod
    async def list_images(self) -> Sequence[Image]:
        """All images on the node."""

    @abstractmethod
    async def image_status(self, image: str) -> Image | None:
        """The image of that reference if it is on the node, else None. `InvalidArgument` for a malformed reference."""

    @abstractmethod
    async def pull_image(
        self, image: str, auth: Sequence[Mapping[str, str]] = (), sandbox: PodSandboxConfig | None = None
    ) -> str:
        """Fetch an image; returns the id to create containers with. `NotFound` when the registry has none such.

        `auth`: credentials to try in order (keys username, password, auth, server_address,
        identity_token, registry_token).
        """

    @abstractmethod
    async def remove_image(self, image: str) -> None:
        """Drop an image; harmless when it is not there."""

    async def image_fs_info(self) -> FilesystemUsage | None:
        """Usage of the filesystem that holds the images; None when unknown."""
        return None


class RuntimeDriver(ABC):
    """One node's connection to its container runtime. A plugin registers the class; the agent makes one per node."""

    needs_volumes: ClassVar[bool] = True
    """Whether containers see files: False spares the agent from writing volumes to disk."""

    runtime: Runtime
    images: Images

    def __init__(self, node_name: str, clock: Clock, options: Any, state_dir: Path) -> None:
        """`options`: the plugin's config section (its `Options` class). `state_dir`: the agent process's own directory,
        shared by all its nodes; it exists. Must not do I/O."""
        self.node_name = node_name
        self.clock = clock
        self.options = options
        self.state_dir = state_dir

    @abstractmethod
    async def start(self) -> None:
        """Connect, and find again what runs. Raises RuntimeFault when the runtime does not answer."""

    async def close(self) -> None:
        """Let go of connections and tasks. What runs keeps running."""
        return

    async def machine(self) -> MachineInfo:
        """What the node is made of."""
        return MachineInfo()

    def prober(self) -> Prober | None:
        """Who answers the pods' probes. None: the agent's own, which runs commands and opens connections."""
        return None
