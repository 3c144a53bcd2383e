"""Fake sandboxes and containers: records whose state follows from the time.

A container's end is known when it starts (its `exit_at`), so one that runs for ever costs nothing,
and one that ended while the process was down is found exited at the right moment afterwards.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kybern.node.runtime import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerResources,
    ContainerState,
    ContainerStatus,
    ExecResult,
    LogLine,
    PodSandbox,
    PodSandboxConfig,
    PodUsage,
    Runtime,
    RuntimeCondition,
    RuntimeFault,
    RuntimeStatus,
    Version,
)
from kybern_runtime_fake.addresses import Addresses
from kybern_runtime_fake.ends import Ends
from kybern_runtime_fake.images import full_reference
from kybern_runtime_fake.journal import ContainerRecord, SandboxRecord, is_running
from kybern_runtime_fake.life import KEPT, end_of, sandbox_of, state_of, status_of
from kybern_runtime_fake.logs import read_logs
from kybern_runtime_fake.options import USAGE, Subject
from kybern_runtime_fake.script import interpret, run_command
from kybern_runtime_fake.usage import Peers, pod_usage

if TYPE_CHECKING:
    from kybern_runtime_fake.driver import FakeDriver

__all__ = ["FakeRuntime"]

_READY = RuntimeStatus((RuntimeCondition("RuntimeReady", True), RuntimeCondition("NetworkReady", True)))


class FakeRuntime(Runtime):
    """The containers of one node."""

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self._clock = driver.clock
        self._sandboxes: dict[str, SandboxRecord] = {}
        self._containers: dict[str, ContainerRecord] = {}
        self._pods: dict[str, list[SandboxRecord]] = {}
        self._by_pod: dict[str, list[ContainerRecord]] = {}
        self._ends = Ends(driver, self._ended_by_itself)
        self._callback: Callable[[ContainerEvent], None] | None = None
        self._addresses: Addresses | None = None
        self.health = _READY
        """What `status` answers; tests replace it."""

    # Its own life

    def adopt(self, record: SandboxRecord | ContainerRecord) -> None:
        """A record that an earlier process left."""
        if isinstance(record, SandboxRecord):
            self._sandboxes[record.id] = record
            self._pods.setdefault(record.uid, []).insert(0, record)
            for address in record.ips if record.ready else ():
                self._pool().hold(address)
        elif record.sandbox_id in self._sandboxes:
            self._containers[record.id] = record
            self._by_pod.setdefault(self._sandboxes[record.sandbox_id].uid, []).insert(0, record)
            self._ends.arm(record)

    def close(self) -> None:
        """Forget timers; the records are on disk."""
        self._ends.close()
        self._callback = None

    async def version(self) -> Version:
        return Version("fake", "1.0")

    async def status(self) -> RuntimeStatus:
        return self.health

    async def update_runtime_config(self, pod_cidr: str) -> None:
        cidr = pod_cidr.partition(",")[0]
        if self._addresses is not None and self._addresses.cidr == cidr:
            return
        self._addresses = Addresses(cidr)
        for sandbox in self._sandboxes.values():
            for address in sandbox.ips if sandbox.ready else ():
                self._addresses.hold(address)

    def _pool(self) -> Addresses:
        if self._addresses is None:
            self._addresses = Addresses(self._driver.options.fallback_pod_cidr, self._driver.spread)
        return self._addresses

    def on_event(self, callback: Callable[[ContainerEvent], None]) -> bool:
        self._callback = callback
        return True

    def _emit(self, type: str, uid: str, container_id: str) -> None:
        if self._callback is not None:
            self._callback(ContainerEvent(type, uid, container_id))

    # Sandboxes

    async def run_pod_sandbox(self, config: PodSandboxConfig, runtime_handler: str = "") -> str:
        said = self._driver.behaviour(
            Subject(self._driver.node_name, config.namespace, config.name, "", "", config.annotations)
        )
        if delay := said.get("sandbox_delay"):
            await self._clock.sleep(delay)
        if error := said.get("sandbox_error"):
            raise RuntimeFault("Unknown", error)
        known = self._pods.get(config.uid, [])
        if any(s.attempt == config.attempt for s in known):
            raise RuntimeFault(
                "AlreadyExists", f"sandbox {config.name}_{config.namespace}_{config.attempt} already exists"
            )
        record = SandboxRecord(
            id=secrets.token_hex(32),
            node=self._driver.node_name,
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            attempt=config.attempt,
            created_at=self._clock.now(),
            ips=() if config.host_network else (self._pool().take(),),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            runtime_handler=runtime_handler,
            hostname=config.hostname,
        )
        self._sandboxes[record.id] = record
        self._pods[config.uid] = [record, *known]
        self._driver.journal.put(record)
        return record.id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        record = self._sandboxes.get(sandbox_id)
        if record is None or not record.ready:
            return
        for container in self._by_pod.get(record.uid, ()):
            if container.sandbox_id == sandbox_id and self._state(container) is ContainerState.RUNNING:
                self._ends.end(container, 137, "Error")
        record.ready = False
        for address in record.ips:
            self._pool().give_back(address)
        self._driver.journal.put(record)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        record = self._sandboxes.get(sandbox_id)
        if record is None:
            return
        await self.stop_pod_sandbox(sandbox_id)
        for container in [c for c in self._by_pod.get(record.uid, ()) if c.sandbox_id == sandbox_id]:
            await self.remove_container(container.id)
        del self._sandboxes[sandbox_id]
        left = [s for s in self._pods.get(record.uid, ()) if s is not record]
        if left:
            self._pods[record.uid] = left
        else:
            self._pods.pop(record.uid, None)
        self._driver.journal.drop(sandbox_id)

    async def list_pod_sandboxes(self, uid: str = "") -> Sequence[PodSandbox]:
        if uid:
            return tuple(sandbox_of(r) for r in self._pods.get(uid, ()))
        return tuple(sandbox_of(r) for r in sorted(self._sandboxes.values(), key=lambda r: -r.created_at))

    # Containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox_config: PodSandboxConfig) -> str:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or not sandbox.ready:
            raise RuntimeFault("NotFound", f"failed to find sandbox {sandbox_id!r} in store: not found")
        image = await self._driver.images.image_status(config.user_image or config.image)
        if image is None:
            raise RuntimeFault("NotFound", f'failed to resolve image "{config.image}": not found')
        said = self._driver.behaviour(
            Subject(
                self._driver.node_name,
                sandbox.namespace,
                sandbox.name,
                config.name,
                config.user_image,
                sandbox_config.annotations,
            )
        )
        if error := said.get("create_error"):
            raise RuntimeFault("Unknown", error)
        record = self._new_container(sandbox, config, said)
        record.image_ref = image.repo_digests[0] if image.repo_digests else image.id
        self._containers[record.id] = record
        self._by_pod.setdefault(sandbox.uid, []).insert(0, record)
        self._driver.journal.put(record)
        return record.id

    def _new_container(self, sandbox: SandboxRecord, config: ContainerConfig, said: dict[str, Any]) -> ContainerRecord:
        env = {"HOSTNAME": sandbox.hostname or sandbox.name, **dict(config.envs)}
        return ContainerRecord(
            id=secrets.token_hex(32),
            node=self._driver.node_name,
            sandbox_id=sandbox.id,
            name=config.name,
            attempt=config.attempt,
            created_at=self._clock.now(),
            image=full_reference(config.user_image or config.image),
            image_ref=config.image,
            user_image=config.user_image,
            script=interpret(config.user_image, config.command, config.args, env, stdin=config.stdin),
            behaviour={name: said[name] for name in KEPT if name in said},
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            log_path=f"{sandbox.id}/{config.log_path}",
            resources=config.resources,
        )

    async def start_container(self, container_id: str) -> None:
        record = self._container(container_id)
        if self._state(record) is not ContainerState.CREATED:
            raise RuntimeFault("FailedPrecondition", f"container is in {self._state(record)} state")
        said = record.behaviour
        if delay := said.get("start_delay"):
            await self._clock.sleep(float(delay))
        error = str(said.get("start_error") or (record.script.start_error if record.script is not None else ""))
        record.started_at = self._clock.now()
        if error:
            full = f"failed to create containerd task: OCI runtime create failed: {error}: unknown"
            record.message = full
            self._ends.end(record, 128, "StartError", full)
            raise RuntimeFault("Unknown", full)
        exit_after, record.exit_code, record.reason = end_of(record)
        if exit_after is not None:
            record.exit_at = record.started_at + exit_after
        self._ends.arm(record)
        self._driver.journal.put(record)

    async def stop_container(self, container_id: str, timeout: float) -> None:
        record = self._containers.get(container_id)
        if record is None or self._state(record) is not ContainerState.RUNNING:
            return
        await self._ends.stop(record, timeout)

    async def remove_container(self, container_id: str) -> None:
        record = self._containers.get(container_id)
        if record is None:
            return
        if self._state(record) is ContainerState.RUNNING:
            self._ends.end(record, 137, "Error")
        del self._containers[container_id]
        uid = self._sandboxes[record.sandbox_id].uid
        left = [c for c in self._by_pod.get(uid, ()) if c is not record]
        if left:
            self._by_pod[uid] = left
        else:
            self._by_pod.pop(uid, None)
        self._driver.journal.drop(container_id)

    async def list_containers(self, uid: str = "") -> Sequence[Container]:
        records = self._by_pod.get(uid, []) if uid else sorted(self._containers.values(), key=lambda r: -r.created_at)
        return tuple(
            Container(
                r.id,
                r.sandbox_id,
                r.name,
                r.attempt,
                self._state(r),
                r.created_at,
                r.image,
                r.image_ref,
                r.labels,
                r.annotations,
            )
            for r in records
        )

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._status(self._container(container_id))

    async def pod_containers(self, uid: str) -> Sequence[ContainerStatus]:
        return tuple([self._status(record) for record in self._by_pod.get(uid, ())])

    async def update_container_resources(self, container_id: str, resources: ContainerResources) -> None:
        record = self._container(container_id)
        record.resources = resources
        self._driver.journal.put(record)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float = 0.0) -> ExecResult:
        record = self._container(container_id)
        if self._state(record) is not ContainerState.RUNNING:
            raise RuntimeFault(
                "FailedPrecondition", f'failed to exec in container: container "{container_id}" is not running'
            )
        sandbox = self._sandboxes[record.sandbox_id]
        env = {"HOSTNAME": sandbox.hostname or sandbox.name}
        code, output = run_command(record.script, self._clock.now() - record.started_at, env, command)
        return ExecResult(code, output.encode())

    async def container_logs(self, container_id: str, *, follow: bool = False) -> AsyncIterator[LogLine]:
        return read_logs(self._container(container_id), self._ends, self._clock, follow)

    async def pod_usage(self, uids: Collection[str] | None = None) -> Sequence[PodUsage]:
        now, peers = self._clock.now(), Peers(self._clock, self._driver.journal)
        used = []
        for uid in self._by_pod if uids is None else uids:
            running = {r.name: r for r in self._by_pod.get(uid, ()) if is_running(r, now)}
            if running:
                used.append(pod_usage(self._pods[uid][0], running, now, peers))
        return used

    def pod_annotated(self, uid: str, annotations: Mapping[str, str]) -> None:
        for sandbox in self._pods.get(uid, ())[:1]:
            sandbox.annotations = dict(annotations)
            for record in self._by_pod.get(uid, ()):
                subject = Subject(
                    self._driver.node_name, sandbox.namespace, sandbox.name, record.name, record.user_image, annotations
                )
                self._use(record, self._driver.usage_said(subject))
            self._driver.journal.put(sandbox)

    def _use(self, record: ContainerRecord, said: Mapping[str, str]) -> None:
        """From now on the container uses what is said."""
        kept = {name: value for name, value in record.behaviour.items() if name not in USAGE}
        behaviour = kept | dict(said)
        if behaviour != record.behaviour:
            record.behaviour = behaviour
            self._driver.journal.put(record)

    # For tests

    def crash(self, namespace: str, pod: str, container: str, exit_code: int = 137, reason: str = "Error") -> None:
        """End a running container behind the agent's back."""
        for record in self._containers.values():
            sandbox = self._sandboxes[record.sandbox_id]
            named = (sandbox.namespace, sandbox.name, record.name) == (namespace, pod, container)
            if named and self._state(record) is ContainerState.RUNNING:
                self._ends.end(record, exit_code, reason)
                self._emit("stopped", sandbox.uid, record.id)
                return
        raise LookupError(f"no running container {namespace}/{pod}/{container} on {self._driver.node_name}")

    async def lose_sandbox(self, namespace: str, pod: str) -> None:
        """Stop a pod's sandbox behind the agent's back, as a crash of the machine would."""
        for record in list(self._sandboxes.values()):
            if (record.namespace, record.name) == (namespace, pod) and record.ready:
                await self.stop_pod_sandbox(record.id)
                self._emit("stopped", record.uid, record.id)

    # How it works

    def record(self, container_id: str) -> ContainerRecord:
        """A container's record, for the prober. Raises RuntimeFault."""
        return self._container(container_id)

    def _container(self, container_id: str) -> ContainerRecord:
        try:
            return self._containers[container_id]
        except KeyError:
            message = f'an error occurred when try to find container "{container_id}": not found'
            raise RuntimeFault("NotFound", message) from None

    def _state(self, record: ContainerRecord) -> ContainerState:
        return state_of(record, self._clock.now())

    def _status(self, record: ContainerRecord) -> ContainerStatus:
        return status_of(record, self._state(record))

    def _ended_by_itself(self, record: ContainerRecord) -> None:
        sandbox = self._sandboxes.get(record.sandbox_id)
        if sandbox is not None:
            self._emit("stopped", sandbox.uid, record.id)
