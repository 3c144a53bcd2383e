"""The seam to what runs containers, after CRI v1: `Runtime` (RuntimeService) and `Images` (ImageService).

A plugin registers a `RuntimeDriver` class per name; the node agent makes one driver per node and
talks to nothing else to pull, create, start, stop and watch containers. Everything the agent must
remember across its own restart it reads back from here, so a runtime keeps labels, annotations,
attempts and exit states until the agent removes the container. What passes between the two is in
`runtime_messages.py` and can be imported from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kybern.clock import Clock
from kybern.node.runtime_messages import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerResources,
    ContainerState,
    ContainerStatus,
    ExecResult,
    FilesystemUsage,
    Image,
    LogLine,
    MachineInfo,
    Mount,
    PodSandbox,
    PodSandboxConfig,
    PodUsage,
    PortMapping,
    RuntimeCondition,
    RuntimeFault,
    RuntimeStatus,
    SandboxState,
    Version,
)

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
    csi_drivers: ClassVar[tuple[str, ...]] = ()
    """CSI drivers that every node with this runtime has from the start."""

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
