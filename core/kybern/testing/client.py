"""Clients for tests: one that notes down every write and may break any, and one with an API server of its own.

Objects are the server's, with its defaults, its validation and its rules about status and deletion; nothing of that
is repeated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

from kybern.api import registry, types
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.registry import Registry
from kybern.apiserver.authorization import Attributes, Authorizer, Decision
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.server import APIServer
from kybern.client.interface import Client, Event, ObjectList, PatchType, Propagation
from kybern.clock import Clock
from kybern.cluster.inprocess import InProcessClient
from kybern.store.interface import Commit
from kybern.store.memory import MemoryStore
from kybern.testing.state import state

K = TypeVar("K")
Hook = Callable[[str, type[Any], str, str], Awaitable[None] | None]

__all__ = ["Hook", "ObservedClient", "WorldClient"]

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


class ObservedClient(Client):
    """Passes everything on to another client. `actions` tells the writes, as lines of a transcript."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.clock = clock
        self.actions: list[str] = []
        self.intercept: Hook | None = None
        """Called with (verb, kind, namespace, name) before each write; what it raises the caller gets. May be async,
        to do something between a caller's last look and its write."""
        self.interrupt: Hook | None = None
        """The same, after the write took place: the answer is lost."""
        self.lag: Callable[[], float] | None = None
        """Asked before each watch event: seconds by which it comes late."""
        self._client = client

    async def _reach(self) -> Client:
        return self._client

    async def get(self, kind: type[K], name: str, namespace: str = "", **options: Any) -> K:
        return await (await self._reach()).get(kind, name, namespace, **options)

    async def list(self, kind: type[K], namespace: str = "", **options: Any) -> ObjectList[K]:
        return await (await self._reach()).list(kind, namespace, **options)

    async def watch(self, kind: type[K], namespace: str = "", **options: Any) -> AsyncIterator[Event[K]]:
        async for event in (await self._reach()).watch(kind, namespace, **options):
            if self.lag is not None:
                await self.clock.sleep(self.lag())
            yield event

    async def create(self, obj: K, **options: Any) -> K:
        metadata = obj.metadata  # type: ignore[attr-defined]  # every object has metadata
        return await self._write(
            "create", type(obj), metadata.namespace, metadata.name or metadata.generateName,
            lambda c: c.create(obj, **options),
        )  # fmt: skip

    async def update(self, obj: K, *, subresource: str = "", **options: Any) -> K:
        metadata = obj.metadata  # type: ignore[attr-defined]  # every object has metadata
        return await self._write(
            _verb("update", subresource), type(obj), metadata.namespace, metadata.name,
            lambda c: c.update(obj, subresource=subresource, **options),
        )  # fmt: skip

    async def patch(
        self, kind: type[K], name: str, namespace: str, patch: Any, *, type: PatchType = "merge",
        subresource: str = "", **options: Any,
    ) -> K:  # fmt: skip
        return await self._write(
            _verb("patch", subresource), kind, namespace, name,
            lambda c: c.patch(kind, name, namespace, patch, type=type, subresource=subresource, **options),
        )  # fmt: skip

    async def delete(
        self, kind: type[K], name: str, namespace: str = "", *, propagation: Propagation | None = None, **options: Any
    ) -> Any:
        return await self._write(
            "delete", kind, namespace, name,
            lambda c: c.delete(kind, name, namespace, propagation=propagation, **options),
            f" {propagation}" if propagation else "",
        )  # fmt: skip

    async def delete_collection(self, kind: type[K], namespace: str = "", **options: Any) -> None:
        await self._write("delete-all", kind, namespace, "", lambda c: c.delete_collection(kind, namespace, **options))

    async def create_subresource(self, kind: type[Any], name: str, namespace: str, subresource: str, body: Any) -> Any:
        return await self._write(
            _verb("create", subresource), kind, namespace, name,
            lambda c: c.create_subresource(kind, name, namespace, subresource, body),
        )  # fmt: skip

    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        if method in ("GET", "HEAD"):
            return await (await self._reach()).raw(method, path, body, headers)
        about = Request(method, path, {}, _no_body, 0.0)
        kind = registry.builtin().resource(about.group, about.version, about.resource)
        struct: type[Any] = kind.struct if kind is not None else object
        return await self._write(
            _verb(about.verb, about.subresource), struct, about.namespace, about.name,
            lambda c: c.raw(method, path, body, headers),
        )  # fmt: skip

    async def _write(
        self, verb: str, kind: type[Any], namespace: str | None, name: str | None,
        send: Callable[[Client], Awaitable[K]], how: str = "",
    ) -> K:  # fmt: skip
        client, about = await self._reach(), (verb, kind, namespace or "", name or "")
        if self.intercept and (waiting := self.intercept(*about)):
            await waiting
        self.actions.append(f"{verb} {kind.__name__} {'/'.join(filter(None, about[2:]))}{how}")
        answer = await send(client)
        if self.interrupt and (waiting := self.interrupt(*about)):
            await waiting
        return answer


class WorldClient(ObservedClient):
    """A client with an API server of its own, which serves all built-in kinds and begins without a single object."""

    def __init__(self, clock: Clock, *, kinds: Iterable[Kind] = (), **options: Any) -> None:
        """`kinds` are served besides the built-in ones; `options` are further arguments of the APIServer, as
        `admission`. It is started at the first request."""
        self.store = MemoryStore(None, clock)
        served = Registry(registry.builtin())
        for kind in kinds:
            served.add(kind)
        self.server = APIServer(
            store=self.store, clock=clock, bootstrap_objects=False, housekeeping=False,
            **{"registry": served, "authorizers": [_AllowAll()], **options},
        )  # fmt: skip
        super().__init__(InProcessClient(lambda: self.server), clock)
        self.store.on_commit(self._note_births)
        self._born: dict[str, int] = {}
        self._forgotten = 0
        self._names = 0
        self._starting = asyncio.Lock()
        self._started = False

    async def _reach(self) -> Client:
        """Started here, so that a world can be made where nothing can be awaited."""
        async with self._starting:
            if not self._started:
                await self.store.start()
                await self.server.start()
                self._started = True
        return self._client

    def _note_births(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            for change in commit.changes:
                if change.previous is None:
                    self._born[change.key] = commit.revision

    async def create(self, obj: K, **options: Any) -> K:
        named: Any = obj
        if named.metadata.generateName and not named.metadata.name:
            named = types.copy(named)
            named.metadata.name = named.metadata.generateName + self._suffix()
        return cast(K, await super().create(named, **options))

    def _suffix(self) -> str:
        """In order, not by chance: a test that fails fails the same way again."""
        self._names += 1
        number, letters = self._names, []
        for _ in range(5):
            number, rest = divmod(number, len(_SUFFIX))
            letters.append(_SUFFIX[rest])
        return "".join(reversed(letters))

    def all(self, kind: type[K]) -> list[K]:
        """All objects of a kind, oldest first."""
        try:
            resource = self.server.resources.of(kind)
        except KeyError:  # not started: there is nothing yet
            return []
        return [resource.object(item) for item in sorted(resource.cache, key=lambda item: self._born[item.key])]

    def state(self, ignore: Sequence[str] = ()) -> list[str]:
        """All there is, in a form that can be compared with another world's (see `kybern.testing.state`)."""
        return state([item.object for resource in self._stored() for item in resource.cache], ignore)

    def mutated(self) -> list[str]:
        """Objects that somebody changed in place, which nobody may: everyone shares them."""
        changed = set(self.server.resources.watch_cache.mutated())
        found = [item.object for resource in self._stored() for item in resource.cache if item.key in changed]
        return [f"{o.kind} {'/'.join(filter(None, (o.metadata.namespace, o.metadata.name)))}" for o in found]

    def _stored(self) -> Iterator[Resource]:
        for resource in self.server.resources:
            if resource.stored_as_served and "list" in resource.verbs and resource.kind.computed is None:
                yield resource

    def compact(self) -> None:
        """Forget history: a watch that is behind gets 410."""
        self._forgotten = self.store.revision

    async def watch(self, kind: type[K], namespace: str = "", **options: Any) -> AsyncIterator[Event[K]]:
        self._check_kept(options.get("resource_version", ""))
        async for event in super().watch(kind, namespace, **options):
            self._check_kept(event.object.metadata.resourceVersion)  # type: ignore[attr-defined]  # every object has it
            yield event

    def _check_kept(self, revision: str) -> None:
        if revision and int(revision) < self._forgotten:
            raise StatusError.expired(f"too old resource version: {revision} ({self._forgotten})")

    async def remove(self, kind: type[Any], name: str, namespace: str = "") -> None:
        """Take an object away at once, whatever holds it: etcd lost it."""
        resource = self.server.resources.of(kind)
        await resource.cache.delete(namespace, name, resource.item(namespace, name).revision)

    async def put(self, obj: Any) -> None:
        """Put an object there unseen and unchecked, as a server of another age may have left it in etcd."""
        await self._reach()
        await self.server.resources.of(type(obj)).cache.create(types.copy(obj))


class _AllowAll(Authorizer):
    """A test may do everything."""

    name = "test"

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.ALLOW, ""


async def _no_body() -> bytes:
    return b""


def _verb(verb: str, subresource: str) -> str:
    return f"{verb}-{subresource}" if subresource else verb
