"""Controllers in a process of their own that sees one namespace only, and dies at the write it is told to.

A dead process is what a `kill -9` leaves: the call under way never returns, and nothing after it is heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import anyio
import attrs

from kybern.api import types
from kybern.client.interface import Client, Event, ObjectList
from kybern.clock import Clock
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller

__all__ = ["MortalClient", "Process", "work"]

Controllers = Callable[[Client, Informers, Events], Sequence[Controller]]
"""Makes the controllers of a process."""

LABEL = "kubernetes.io/metadata.name"
"""A namespace's own label, and on volumes of our making the namespace they are for."""


def belongs(obj: Any, namespace: str) -> bool:
    """Whether an object without a namespace is this one's: the namespace itself, and its volumes; the rest is all's."""
    match type(obj).__name__:
        case "Namespace":
            return bool(obj.metadata.name == namespace)
        case "PersistentVolume":
            claim = obj.spec.claimRef
            return namespace in ((obj.metadata.labels or {}).get(LABEL), claim and claim.namespace)
        case _:
            return True


class MortalClient(Client):
    """Somebody's client: one namespace, and perhaps a last write. Events do not count as writes."""

    def __init__(self, client: Client, namespace: str, last: int | None = None) -> None:
        self._client = client
        self.namespace = namespace
        self.last = last
        self.writes = 0
        self.died = asyncio.Event()

    def _within(self, kind: type[Any], namespace: str) -> str:
        return namespace or (self.namespace if types.kind_of(kind).namespaced else "")

    async def _write(self, kind: str, write: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        await self._alive()
        if kind == "Event":
            return await write()
        if self.writes == self.last:
            await anyio.sleep_forever()  # the last one is under way; this one is never sent
        self.writes += 1
        is_last = self.writes == self.last
        try:
            return await write()
        finally:
            if is_last:
                self.died.set()
            await self._alive()

    async def _alive(self) -> None:
        if self.died.is_set():
            await anyio.sleep_forever()

    async def get(self, kind: type[Any], name: str, namespace: str = "", *, resource_version: str = "") -> Any:
        await self._alive()
        return await self._client.get(kind, name, namespace, resource_version=resource_version)

    async def list(self, kind: type[Any], namespace: str = "", **options: Any) -> ObjectList[Any]:
        listed = await self._client.list(kind, self._within(kind, namespace), **options)
        return attrs.evolve(listed, items=[obj for obj in listed.items if belongs(obj, self.namespace)])

    async def watch(self, kind: type[Any], namespace: str = "", **options: Any) -> AsyncIterator[Event[Any]]:
        async for event in self._client.watch(kind, self._within(kind, namespace), **options):
            if event.type == "BOOKMARK" or belongs(event.object, self.namespace):
                yield event

    async def create(self, obj: Any, **options: Any) -> Any:
        return await self._write(type(obj).__name__, lambda: self._client.create(obj, **options))

    async def update(self, obj: Any, **options: Any) -> Any:
        return await self._write(type(obj).__name__, lambda: self._client.update(obj, **options))

    async def patch(self, kind: type[Any], name: str, namespace: str, patch: Any, **options: Any) -> Any:
        return await self._write(kind.__name__, lambda: self._client.patch(kind, name, namespace, patch, **options))

    async def delete(self, kind: type[Any], name: str, namespace: str = "", **options: Any) -> Any:
        return await self._write(kind.__name__, lambda: self._client.delete(kind, name, namespace, **options))

    async def delete_collection(self, kind: type[Any], namespace: str = "", **options: Any) -> None:
        await self._write(kind.__name__, lambda: self._client.delete_collection(kind, namespace, **options))

    async def create_subresource(self, kind: type[Any], name: str, namespace: str, subresource: str, body: Any) -> Any:
        return await self._write(
            kind.__name__, lambda: self._client.create_subresource(kind, name, namespace, subresource, body)
        )

    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        if method == "GET":
            return await self._client.raw(method, path, body, headers)
        answer: tuple[int, bytes] = await self._write("", lambda: self._client.raw(method, path, body, headers))
        return answer


async def work(client: Client, clock: Clock, controllers: Controllers) -> None:
    """A controller manager's main, until it is cancelled."""
    informers, events = Informers(client, clock), Events(client, clock)
    engine = Engine(client, clock, informers, events)
    for controller in controllers(client, informers, events):
        engine.add(controller)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(informers.run)
        tasks.start_soon(events.run)
        tasks.start_soon(engine.run)


class Process:
    """A controller manager for one namespace that is started again whenever it dies."""

    RESTART = 1.0
    """Virtual seconds until it is back."""

    def __init__(self, client: Client, clock: Clock, controllers: Controllers, namespace: str) -> None:
        self._client, self._clock, self._controllers = client, clock, controllers
        self.namespace = namespace
        self.lives: list[MortalClient] = []

    async def run(self, lives: Sequence[int] = ()) -> None:
        """So many lives of so many writes, and one that goes on."""
        for writes in lives:
            await self._live(writes)
            await self._clock.sleep(self.RESTART)
        await self._live(None)

    async def _live(self, last: int | None) -> None:
        client = MortalClient(self._client, self.namespace, last)
        self.lives.append(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, client, self._clock, self._controllers)
            await client.died.wait()
            tasks.cancel_scope.cancel()

    @property
    def writes(self) -> int:
        """Of all lives together."""
        return sum(client.writes for client in self.lives)

    @property
    def deaths(self) -> int:
        return sum(client.died.is_set() for client in self.lives)
