"""Sandboxes are records, containers are child processes, images are names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import attrs

from kybern.clock import Clock
from kybern.node.runtime import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStatus,
    ExecResult,
    Image,
    Images,
    LogLine,
    PodSandbox,
    PodSandboxConfig,
    Runtime,
    RuntimeCondition,
    RuntimeDriver,
    RuntimeFault,
    RuntimeStatus,
    SandboxState,
    Version,
)


@attrs.define(eq=False)
class Box:
    """A container: what it shall be, its process, and what the process has written."""

    status: ContainerStatus
    config: ContainerConfig
    pod_uid: str
    process: asyncio.subprocess.Process | None = None
    log: list[LogLine] = attrs.field(factory=list)
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    follower: asyncio.Task[None] | None = None


class ProcessRuntime(Runtime):
    """The containers of one node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sandboxes: dict[str, PodSandbox] = {}
        self._boxes: dict[str, Box] = {}
        self._told: list[Callable[[ContainerEvent], None]] = []
        self._count = 0
        self._addresses = 0

    def _address(self) -> str:
        """A loopback address of its own: all of 127.0.0.0/8 is this machine."""
        self._addresses += 1
        return f"127.1.{self._addresses >> 8 & 255}.{self._addresses & 255}"

    def _id(self) -> str:
        self._count += 1
        return f"{os.getpid():08x}{self._count:024x}"

    async def version(self) -> Version:
        return Version("process", "0.1.0")

    async def status(self) -> RuntimeStatus:
        return RuntimeStatus([RuntimeCondition("RuntimeReady", True), RuntimeCondition("NetworkReady", True)])

    async def run_pod_sandbox(self, config: PodSandboxConfig, runtime_handler: str = "") -> str:
        made = PodSandbox(
            self._id(), config.name, config.namespace, config.uid, config.attempt, SandboxState.READY,
            self._clock.now(),
            (self._address(),), config.labels, config.annotations, runtime_handler,
        )  # fmt: skip
        for other in self._sandboxes.values():
            if (other.uid, other.attempt) == (made.uid, made.attempt):
                raise RuntimeFault("AlreadyExists", f"pod {config.name} has a sandbox of attempt {config.attempt}")
        self._sandboxes[made.id] = made
        return made.id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        for box in [b for b in self._boxes.values() if b.status.sandbox_id == sandbox_id]:
            await self.stop_container(box.status.id, 0)
        if sandbox_id in self._sandboxes:
            stopped = attrs.evolve(self._sandboxes[sandbox_id], state=SandboxState.NOTREADY, ips=())
            self._sandboxes[sandbox_id] = stopped

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)
        self._boxes = {i: b for i, b in self._boxes.items() if b.status.sandbox_id != sandbox_id}

    async def list_pod_sandboxes(self, uid: str = "") -> Sequence[PodSandbox]:
        return [s for s in reversed(self._sandboxes.values()) if uid in ("", s.uid)]

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox_config: PodSandboxConfig) -> str:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.state != SandboxState.READY:
            raise RuntimeFault("NotFound", f"sandbox {sandbox_id} is not there or not ready")
        status = ContainerStatus(
            self._id(), sandbox_id, config.name, config.attempt, ContainerState.CREATED, self._clock.now(),
            image=config.user_image or config.image, image_ref=config.image, labels=config.labels,
            annotations=config.annotations, log_path=config.log_path,
        )  # fmt: skip
        self._boxes[status.id] = Box(status, config, sandbox.uid)
        return status.id

    def _box(self, container_id: str) -> Box:
        if container_id not in self._boxes:
            raise RuntimeFault("NotFound", f"container {container_id} is not there")
        return self._boxes[container_id]

    async def start_container(self, container_id: str) -> None:
        box = self._box(container_id)
        command = [*box.config.command, *box.config.args] or ["sleep", "infinity"]
        try:
            box.process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **dict(box.config.envs)},
                cwd=box.config.working_dir or None,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as e:
            self._end(box, 128, "StartError", str(e))
            raise RuntimeFault("Unknown", f"cannot start {command[0]!r}: {e.strerror}") from None
        box.status = attrs.evolve(box.status, state=ContainerState.RUNNING, started_at=self._clock.now())
        box.follower = asyncio.create_task(self._follow(box))

    async def _follow(self, box: Box) -> None:
        """Collect the output, then the exit code."""
        assert box.process is not None and box.process.stdout is not None
        async for line in box.process.stdout:
            box.log.append(LogLine(self._clock.now(), "stdout", line.rstrip(b"\n")))
        code = await box.process.wait()
        code = 128 - code if code < 0 else code
        self._end(box, code, "Completed" if code == 0 else "Error", "")
        for told in self._told:
            told(ContainerEvent("stopped", box.pod_uid, box.status.id))

    def _end(self, box: Box, code: int, reason: str, message: str) -> None:
        box.status = attrs.evolve(
            box.status,
            state=ContainerState.EXITED,
            finished_at=self._clock.now(),
            exit_code=code,
            reason=reason,
            message=message,
        )
        box.ended.set()

    async def stop_container(self, container_id: str, timeout: float) -> None:
        box = self._boxes.get(container_id)
        if box is None or box.status.state == ContainerState.EXITED:
            return
        if box.process is None:
            self._end(box, 137, "Error", "")
            return
        if timeout > 0:
            box.process.terminate()
            try:
                await self._clock.wait_for(box.ended.wait(), timeout)
            except TimeoutError:
                pass
        if not box.ended.is_set():
            box.process.kill()
            await box.ended.wait()

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        self._boxes.pop(container_id, None)

    async def list_containers(self, uid: str = "") -> Sequence[Container]:
        return [
            Container(
                s.id,
                s.sandbox_id,
                s.name,
                s.attempt,
                s.state,
                s.created_at,
                s.image,
                s.image_ref,
                s.labels,
                s.annotations,
            )
            for s in (b.status for b in reversed(self._boxes.values()) if uid in ("", b.pod_uid))
        ]

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._box(container_id).status

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float = 0.0) -> ExecResult:
        self._box(container_id)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        return ExecResult(process.returncode or 0, out, err)

    async def container_logs(self, container_id: str, *, follow: bool = False) -> AsyncIterator[LogLine]:
        box = self._box(container_id)

        async def lines() -> AsyncIterator[LogLine]:
            seen = 0
            while True:
                for line in box.log[seen:]:
                    seen += 1
                    yield line
                if not follow or box.ended.is_set():
                    return
                await self._clock.sleep(0.1)

        return lines()

    def on_event(self, callback: Callable[[ContainerEvent], None]) -> bool:
        self._told.append(callback)
        return True


class Names(Images):
    """Images are names: every pull succeeds, nothing of it is used."""

    def __init__(self) -> None:
        self._pulled: dict[str, Image] = {}

    async def list_images(self) -> Sequence[Image]:
        return list(self._pulled.values())

    async def image_status(self, image: str) -> Image | None:
        return self._pulled.get(image)

    async def pull_image(
        self, image: str, auth: Sequence[Mapping[str, str]] = (), sandbox: PodSandboxConfig | None = None
    ) -> str:
        self._pulled[image] = Image(image, (image,))
        return image

    async def remove_image(self, image: str) -> None:
        self._pulled.pop(image, None)


class ProcessDriver(RuntimeDriver):
    """What the node agent is given."""

    runtime: ProcessRuntime

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.runtime = ProcessRuntime(self.clock)
        self.images = Names()

    async def start(self) -> None:
        return None

    async def close(self) -> None:
        for box in list(self.runtime._boxes.values()):
            await self.runtime.stop_container(box.status.id, 0)
