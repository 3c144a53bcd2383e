"""A cluster made of dictionaries, for the scheduler's tests: objects, informers and a client that binds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from kybern.api import types
from kybern.api.core import Node, Pod
from kybern.api.errors import StatusError
from kybern.clock import VirtualClock, settle
from kybern.reconcile.interface import EventRecorder, Informer
from kybern.scheduler import Scheduler
from kybern.scheduler.policy import Policy
from kybern_scheduler_policies.default_set import POLICIES

_uids = itertools.count(1)


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "16Gi",
    pods: str = "110",
    labels: dict[str, str] | None = None,
    taints: Iterable[tuple[str, str, str]] = (),
    allocatable: dict[str, str] | None = None,
    images: Any = None,
    **spec: Any,
) -> Any:
    """A Node."""
    return types.from_plain(
        Node,
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | (labels or {})},
            "spec": {"taints": [{"key": k, "value": v, "effect": e} for k, v, e in taints]} | spec,
            "status": {
                "allocatable": {"cpu": cpu, "memory": memory, "pods": pods} | (allocatable or {}),
                "images": images or [],
            },
        },
    )


def pod(
    name: str,
    *,
    cpu: str | None = None,
    memory: str | None = None,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    on: str | None = None,
    priority: int | None = None,
    containers: list[dict[str, Any]] | None = None,
    nominated: str | None = None,
    owner: dict[str, Any] | None = None,
    requests: dict[str, str] | None = None,
    ports: list[dict[str, Any]] | None = None,
    **spec: Any,
) -> Any:
    """A Pod, running on a node when `on` is given."""
    wanted = dict(requests or {})
    if cpu:
        wanted["cpu"] = cpu
    if memory:
        wanted["memory"] = memory
    main = {"name": "main", "image": "app", "resources": {"requests": wanted}, "ports": ports or []}
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{next(_uids)}", "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [owner | {"controller": True, "uid": "owner"}]
    return types.from_plain(
        Pod,
        {
            "metadata": meta,
            "spec": {"containers": containers or [main], "nodeName": on, "priority": priority}
            | {"schedulerName": "default-scheduler"}
            | spec,
            "status": {"nominatedNodeName": nominated} if nominated else {},
        },
    )


class FakeInformer(Informer[Any]):
    """All objects of a kind; the cluster tells it of changes."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.objects: dict[tuple[str, str], Any] = {}
        self.callbacks: list[Callable[[Any, Any], None]] = []

    def get(self, name: str, namespace: str = "") -> Any:
        return self.objects.get((namespace or "", name))

    def list(self, namespace: str = "", selector: Any = None) -> Any:
        return [
            o
            for (ns, _), o in self.objects.items()
            if namespace in ("", ns) and (selector is None or selector(o.metadata.labels))
        ]

    def add_index(self, name: str, values: Any) -> None:
        raise NotImplementedError

    def by_index(self, name: str, value: str) -> Any:
        raise NotImplementedError

    def on_change(self, callback: Callable[[Any, Any], None]) -> None:
        self.callbacks.append(callback)
        for obj in list(self.objects.values()):
            callback(None, obj)

    async def synced(self) -> None:
        return None

    def change(self, key: tuple[str, str], new: Any) -> None:
        old = self.objects.pop(key, None)
        if new is not None:
            self.objects[key] = new
        for callback in self.callbacks:
            callback(old, new)


class FakeEvents(EventRecorder):
    """Remembers events as (type, reason, object name, message)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, str]] = []

    def event(self, about: Any, type: str, reason: str, message: str, *, action: str = "") -> None:
        self.seen.append((type, reason, about.metadata.name, message))


class Cluster:
    """Objects, and the few verbs of a client that the scheduler uses. Changes reach informers at once."""

    def __init__(self, *objects: Any) -> None:
        self.informers: dict[type[Any], FakeInformer] = {}
        self.events = FakeEvents()
        self.clock = VirtualClock()
        self.bindings: list[tuple[str, str]] = []
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.before_binding: Callable[[str, str], None] = lambda pod, node: None
        self.silent = False
        """When set, bindings are not announced to informers (their word is late)."""
        self.put(*objects)

    def informer(self, kind: type[Any]) -> FakeInformer:
        return self.informers.setdefault(kind, FakeInformer(kind))

    def put(self, *objects: Any) -> None:
        """Create or replace."""
        for obj in objects:
            meta = obj.metadata
            self.informer(type(obj)).change((meta.namespace or "", meta.name), obj)

    def drop(self, obj: Any) -> None:
        """Delete."""
        self.informer(type(obj)).change((obj.metadata.namespace or "", obj.metadata.name), None)

    def pod(self, name: str, namespace: str = "default") -> Any:
        """The pod as it is now."""
        return self.informer(Pod).get(name, namespace)

    async def create_subresource(self, kind: Any, name: str, namespace: str, subresource: str, body: Any) -> Any:
        assert subresource == "binding"
        self.before_binding(name, body.target.name)
        current = self.pod(name, namespace)
        if current is None:
            raise StatusError(404, "NotFound", f'pods "{name}" not found')
        if current.spec.nodeName:
            taken = f'pod {name} is already assigned to node "{current.spec.nodeName}"'
            text = f'Operation cannot be fulfilled on pods/binding "{name}": {taken}'
            raise StatusError(409, "Conflict", text)
        self.bindings.append((name, body.target.name))
        if not self.silent:
            bound = types.copy(current)
            bound.spec.nodeName = body.target.name
            self.put(bound)
        return None

    async def patch(self, kind: Any, name: str, namespace: str, patch: Any, *, type: str, subresource: str = "") -> Any:
        current = self.pod(name, namespace)
        if current is None:
            raise StatusError(404, "NotFound", f'pods "{name}" not found')
        self.patches.append((name, patch))
        plain = types.to_plain(current)
        status = plain.setdefault("status", {})
        for key, value in patch["status"].items():
            if key == "conditions":
                new = {c["type"] for c in value}
                status["conditions"] = [c for c in status.get("conditions", []) if c["type"] not in new] + value
            else:
                status[key] = value
        self.put(types.from_plain(kind, plain))
        return None

    async def delete(self, kind: Any, name: str, namespace: str = "", **options: Any) -> Any:
        current = self.informer(kind).get(name, namespace)
        if current is None:
            raise StatusError(404, "NotFound", f'pods "{name}" not found')
        self.deleted.append(name)
        self.drop(current)

    def scheduler(self, config: Any = None, policies: Iterable[type[Policy]] = POLICIES, **options: Any) -> Scheduler:
        """A scheduler of this cluster, not yet running."""
        return Scheduler(self, self, self.clock, self.events, policies, config, seed=1, **options)  # type: ignore[arg-type]

    def messages(self, reason: str = "FailedScheduling") -> list[str]:
        """Messages of events with this reason."""
        return [message for _, why, _, message in self.events.seen if why == reason]


class Running:
    """`async with Running(scheduler):` lets it work; leaves when the block is done."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    async def __aenter__(self) -> Scheduler:
        import asyncio

        self._task = asyncio.ensure_future(self.scheduler.run())
        await settle()
        return self.scheduler

    async def __aexit__(self, *_: Any) -> None:
        import asyncio

        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
