"""A plain API server in memory for node tests: objects, resource versions, graceful deletion, informers, events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kybern.api import types
from kybern.api.core import ConfigMap, Container, Namespace, Node, Pod, PodSpec, Secret, Service
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.api.time import format_time
from kybern.clock import Clock, VirtualClock
from kybern.node.agent import NodeAgent
from kybern.node.config import AgentConfig, NodeConfig
from kybern.reconcile.informers import ObjectCache
from kybern.reconcile.interface import EventRecorder
from kybern_runtime_fake.driver import FakeDriver
from kybern_runtime_fake.options import Options


class Recorded(EventRecorder):
    """Keeps events as (reason, message)."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str, str]] = []

    def event(self, about: Any, type: str, reason: str, message: str, *, action: str = "") -> None:
        name = about.metadata.name if hasattr(about, "metadata") else about.name
        self.all.append((name, type, reason, message))

    def reasons(self, name: str) -> list[str]:
        return [reason for who, _, reason, _ in self.all if who == name]

    def said(self, name: str, reason: str) -> list[str]:
        return [message for who, _, r, message in self.all if who == name and r == reason]


class FakeInformers:
    def __init__(self) -> None:
        self.caches: dict[type[Any], ObjectCache[Any]] = {}

    def informer(self, kind: type[Any]) -> ObjectCache[Any]:
        if kind not in self.caches:
            self.caches[kind] = ObjectCache(kind)
        return self.caches[kind]


class FakeClient:
    """Only what the node asks for; the server's behaviour where it matters to a node."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.informers = FakeInformers()
        self.objects: dict[tuple[type[Any], str, str], Any] = {}
        self.versions = itertools.count(1)
        self.writes: list[tuple[str, str, str]] = []
        self.history: dict[str, list[Any]] = {}
        self.failing: StatusError | None = None

    def _keep(self, verb: str, obj: Any) -> Any:
        obj = types.copy(obj)
        obj.metadata.resourceVersion = str(next(self.versions))
        self.objects[self._key(obj)] = obj
        self.writes.append((verb, type(obj).__name__, obj.metadata.name))
        if type(obj) is Pod:
            self.history.setdefault(obj.metadata.name, []).append(obj)
        self.informers.informer(type(obj)).put(obj)
        return obj

    @staticmethod
    def _key(obj: Any) -> tuple[type[Any], str, str]:
        return type(obj), obj.metadata.namespace or "", obj.metadata.name

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing

    async def get(self, kind: type[Any], name: str, namespace: str = "", *, resource_version: str = "") -> Any:
        await self._answer()
        try:
            return self.objects[kind, namespace, name]
        except KeyError:
            raise StatusError.not_found(kind.__name__.lower() + "s", "", name) from None

    async def create(self, obj: Any, *, dry_run: bool = False, field_manager: str = "") -> Any:
        await self._answer()
        return self.add(obj)

    def add(self, obj: Any) -> Any:
        if self._key(obj) in self.objects:
            raise StatusError.already_exists(type(obj).__name__.lower() + "s", "", obj.metadata.name)
        obj = types.copy(obj)
        obj.metadata.uid = f"uid-{next(self.versions)}"
        obj.metadata.generation = 1
        obj.metadata.creationTimestamp = format_time(self.clock.now())
        if type(obj) is Pod:
            obj.status.phase, obj.status.qosClass = "Pending", "BestEffort"
        return self._keep("create", obj)

    async def update(self, obj: Any, *, subresource: str = "", dry_run: bool = False, field_manager: str = "") -> Any:
        await self._answer()
        current = self.objects.get(self._key(obj))
        if current is None or current.metadata.uid != obj.metadata.uid:
            raise StatusError.not_found(type(obj).__name__.lower() + "s", "", obj.metadata.name)
        if obj.metadata.resourceVersion and obj.metadata.resourceVersion != current.metadata.resourceVersion:
            raise StatusError.conflict(type(obj).__name__.lower() + "s", "", obj.metadata.name)
        return self._keep(subresource or "update", obj)

    async def update_status(self, obj: Any) -> Any:
        return await self.update(obj, subresource="status")

    async def patch(self, kind: type[Any], name: str, namespace: str, patch: Any, **_: Any) -> Any:
        await self._answer()
        obj = types.copy(self.objects[kind, namespace, name])
        for field, value in patch.get("metadata", {}).items():
            setattr(obj.metadata, field, {**(getattr(obj.metadata, field) or {}), **value})
        return self._keep("patch", obj)

    async def delete(
        self,
        kind: type[Any],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period: int | None = None,
        **_: Any,
    ) -> Any:
        await self._answer()
        current = self.objects.get((kind, namespace, name))
        if current is None:
            raise StatusError.not_found(kind.__name__.lower() + "s", "", name)
        if uid and current.metadata.uid != uid:
            raise StatusError.conflict(kind.__name__.lower() + "s", "", name)
        grace = grace_period
        if kind is Pod:
            if grace is None:
                spec = current.spec.terminationGracePeriodSeconds
                grace = 30 if spec is None else spec
            if current.status.phase in ("Failed", "Succeeded") or not current.spec.nodeName:
                grace = 0
        if grace:
            marked = types.copy(current)
            marked.metadata.deletionTimestamp = format_time(self.clock.now() + grace)
            marked.metadata.deletionGracePeriodSeconds = grace
            return self._keep("delete", marked)
        del self.objects[kind, namespace, name]
        self.writes.append(("remove", kind.__name__, name))
        self.informers.informer(kind).remove(name, namespace)
        return current

    def change(self, obj: Any, how: Any) -> Any:
        """Change the stored object as somebody else would."""
        obj = types.copy(self.objects[self._key(obj)])
        how(obj)
        return self._keep("change", obj)

    def pod(self, name: str) -> Any:
        return self.objects.get((Pod, "default", name))


def pod(
    name: str = "p", *containers: Any, node: str = "n1", annotations: dict[str, str] | None = None, **spec: Any
) -> Any:
    """A pod as the API server would have defaulted it; annotations without prefix are the fake runtime's."""
    made = [c if not isinstance(c, str) else container(c) for c in containers] or [container("c")]
    notes = {f"fake.kybern.dev/{key}" if "/" not in key else key: value for key, value in (annotations or {}).items()}
    fields = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, **spec}
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", annotations=notes or None),
        spec=PodSpec(nodeName=node, containers=made, **fields),
    )


def container(name: str = "c", image: str = "nginx:1", **fields: Any) -> Any:
    return Container(name=name, image=image, **{"imagePullPolicy": "IfNotPresent", **fields})


class World:
    """An API, one agent, its fake runtime, and time."""

    def __init__(
        self, tmp_path: Path, clock: Clock | None = None, options: Options | None = None, **config: Any
    ) -> None:
        self.clock = clock or VirtualClock()
        self.client = FakeClient(self.clock)
        self.events = Recorded()
        self.state_dir = tmp_path
        self.config = AgentConfig(runtime_options={"fake": options or Options()}, **config)
        self.agent: NodeAgent
        self._task: asyncio.Task[None] | None = None
        self.client.add(Namespace(metadata=ObjectMeta(name="default")))

    async def start(self, *nodes: NodeConfig) -> None:
        """Start an agent (again)."""
        configs = nodes or (NodeConfig(name="n1", internal_ip="172.18.0.2", pod_cidr="10.244.1.0/24"),)
        self.agent = NodeAgent(
            self.client,
            self.client.informers,
            self.clock,
            self.events,
            configs,
            {"fake": FakeDriver},
            self.state_dir,
            self.config,
        )  # type: ignore[arg-type]  # the client is a small stand-in
        self._task = asyncio.create_task(self.agent.run())
        await self.settle()

    async def stop(self) -> None:
        """End the agent as a process ends."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def lose_state(self) -> None:
        """What the runtime kept is gone."""
        self.state_file.unlink()

    @property
    def state_file(self) -> Path:
        """Where the fake runtime keeps its state."""
        return next(self.state_dir.iterdir())

    async def settle(self) -> None:
        await self.pass_time(0)

    async def pass_time(self, seconds: float) -> None:
        assert isinstance(self.clock, VirtualClock)
        await self.clock.advance(seconds)
        if self._task is not None and self._task.done():
            self._task.result()

    async def run(self, obj: Any) -> Any:
        """Create a pod and let everybody react."""
        self.client.add(obj)
        await self.settle()
        return self.client.pod(obj.metadata.name)

    def runtime(self, node: str = "n1") -> Any:
        return self.agent.nodes[node].runtime


@contextlib.asynccontextmanager
async def world(tmp_path: Path, **config: Any) -> AsyncIterator[World]:
    """A running world."""
    made = World(tmp_path, **config)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def state_of(pod: Any, name: str = "c") -> tuple[str, str]:
    """(waiting|running|terminated, reason) of a container."""
    for status in [*(pod.status.initContainerStatuses or ()), *(pod.status.containerStatuses or ())]:
        if status.name == name:
            for which in ("waiting", "running", "terminated"):
                if (state := getattr(status.state, which)) is not None:
                    return which, getattr(state, "reason", None) or ""
    return "", ""


def condition(pod: Any, type_: str) -> Any:
    return next(c for c in pod.status.conditions if c.type == type_)


__all__ = [
    "ConfigMap", "Node", "Secret", "Service", "World", "condition", "container", "pod", "state_of", "world",
]  # fmt: skip
