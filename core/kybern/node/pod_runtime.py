"""What the runtime knows of one pod: the input of every decision about it.

Read afresh from the runtime before each decision, so that a restarted agent decides as the old one
would have.
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.node.runtime import ContainerState, ContainerStatus, PodSandbox, Runtime, SandboxState

__all__ = ["PodRuntime", "read_pod"]


class PodRuntime:
    """A pod's sandboxes and containers, each newest first."""

    __slots__ = ("_by_name", "containers", "sandboxes")

    def __init__(self, sandboxes: Sequence[PodSandbox] = (), containers: Sequence[ContainerStatus] = ()) -> None:
        self.sandboxes = sandboxes
        self.containers = containers
        by_name: dict[str, list[ContainerStatus]] = {}
        for container in containers:
            by_name.setdefault(container.name, []).append(container)
        self._by_name = by_name

    @property
    def sandbox(self) -> PodSandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ready_sandbox(self) -> PodSandbox | None:
        """The newest sandbox if containers can run in it."""
        sandbox = self.sandbox
        return sandbox if sandbox is not None and sandbox.state is SandboxState.READY else None

    def history(self, name: str) -> Sequence[ContainerStatus]:
        """Every instance of a container that the runtime still knows, newest first."""
        return self._by_name.get(name, ())

    def latest(self, name: str) -> ContainerStatus | None:
        """The newest instance of a container."""
        found = self._by_name.get(name)
        return found[0] if found else None

    def current(self, name: str) -> ContainerStatus | None:
        """The newest instance of a container in the newest sandbox."""
        found = self.latest(name)
        sandbox = self.sandbox
        return found if found is not None and sandbox is not None and found.sandbox_id == sandbox.id else None

    @property
    def running(self) -> bool:
        """Whether anything runs, or may run."""
        return any(c.state in (ContainerState.RUNNING, ContainerState.UNKNOWN) for c in self.containers)


async def read_pod(runtime: Runtime, uid: str) -> PodRuntime:
    """Ask the runtime about a pod."""
    return PodRuntime(await runtime.list_pod_sandboxes(uid), await runtime.pod_containers(uid))
