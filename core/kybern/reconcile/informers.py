"""Informers: one local copy per kind for everybody in the process.

An informer lists once, then follows the watch: a lost connection resumes where it stopped, a 410
lists again and tells only the differences. Objects are those the client delivered, shared by
reference. Each change costs one dictionary write, the indexes it touches, and the callbacks.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import anyio
from anyio.abc import TaskGroup

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.interface import Informer

K = TypeVar("K")
ChangeCallback = Callable[[Any, Any], None]

__all__ = ["Informers", "ObjectCache", "SharedInformer"]

log = logging.getLogger(__name__)

RETRY_BASE = 0.8
RETRY_LIMIT = 30.0


class _Index:
    """Objects by the values a function gives for them."""

    __slots__ = ("buckets", "values")

    def __init__(self, values: Callable[[Any], Iterable[str]]) -> None:
        self.values = values
        self.buckets: dict[str, dict[tuple[str, str], Any]] = {}

    def change(self, key: tuple[str, str], old: Any, new: Any) -> None:
        after = () if new is None else tuple(self.values(new))
        if old is not None:
            for value in self.values(old):
                if value not in after:
                    self._remove(value, key)
        for value in after:
            self.buckets.setdefault(value, {})[key] = new

    def _remove(self, value: str, key: tuple[str, str]) -> None:
        bucket = self.buckets.get(value)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del self.buckets[value]


class ObjectCache(Informer[K]):
    """The copy itself: objects by namespace and name, indexes, callbacks. Does no I/O."""

    def __init__(self, kind: type[K]) -> None:
        self.kind = kind
        self._namespaces: dict[str, dict[str, K]] = {}
        self._indexes: dict[str, _Index] = {}
        self._callbacks: list[ChangeCallback] = []

    def get(self, name: str, namespace: str = "") -> K | None:
        objects = self._namespaces.get(namespace)
        return objects.get(name) if objects else None

    def list(self, namespace: str = "", selector: Callable[[Any], bool] | None = None) -> list[K]:
        if namespace:
            objects = list(self._namespaces.get(namespace, {}).values())
        else:
            objects = [obj for by_name in self._namespaces.values() for obj in by_name.values()]
        if selector is None:
            return objects
        return [obj for obj in objects if selector(cast(Any, obj).metadata.labels)]

    def __len__(self) -> int:
        return sum(map(len, self._namespaces.values()))

    def add_index(self, name: str, values: Callable[[K], Iterable[str]]) -> None:
        if name in self._indexes:
            return
        index = self._indexes[name] = _Index(values)
        for namespace, objects in self._namespaces.items():
            for object_name, obj in objects.items():
                index.change((namespace, object_name), None, obj)

    def by_index(self, name: str, value: str) -> builtins.list[K]:
        return list(self._indexes[name].buckets.get(value, {}).values())

    def on_change(self, callback: Callable[[K | None, K | None], None]) -> None:
        self._callbacks.append(callback)
        self._tell_all(callback)

    def _tell_all(self, callback: ChangeCallback) -> None:
        for obj in self.list():
            self._call(callback, None, obj)

    async def synced(self) -> None:
        """A plain cache is always in step with whoever fills it."""

    def put(self, obj: K) -> None:
        """The object was added or changed; nothing happens when this very version is known."""
        metadata = cast(Any, obj).metadata
        namespace = metadata.namespace or ""
        objects = self._namespaces.setdefault(namespace, {})
        old = objects.get(metadata.name)
        if old is not None and _same_version(old, obj):
            return
        objects[metadata.name] = obj
        self._changed((namespace, metadata.name), old, obj)

    def remove(self, name: str, namespace: str = "", last: K | None = None) -> None:
        """The object is gone; `last` is its final state if the watch told it."""
        objects = self._namespaces.get(namespace)
        old = objects.pop(name, None) if objects else None
        if old is None:
            return
        if not objects:
            del self._namespaces[namespace]
        for index in self._indexes.values():
            index.change((namespace, name), old, None)
        for callback in self._callbacks:
            self._call(callback, last if last is not None else old, None)

    def replace(self, objects: Iterable[K]) -> None:
        """Become exactly this list, telling only what differs."""
        gone = {(ns, name) for ns, by_name in self._namespaces.items() for name in by_name}
        for obj in objects:
            metadata = cast(Any, obj).metadata
            key = (metadata.namespace or "", metadata.name)
            known = self.get(key[1], key[0])
            if known is not None and cast(Any, known).metadata.uid != metadata.uid:
                self.remove(key[1], key[0])
            gone.discard(key)
            self.put(obj)
        for namespace, name in sorted(gone):
            self.remove(name, namespace)

    def _changed(self, key: tuple[str, str], old: K | None, new: K) -> None:
        for index in self._indexes.values():
            index.change(key, old, new)
        for callback in self._callbacks:  # as `_call`, without a call per callback: pods have two dozen
            try:
                callback(old, new)
            except Exception:
                self._failed_callback()

    def _call(self, callback: ChangeCallback, old: K | None, new: K | None) -> None:
        try:
            callback(old, new)
        except Exception:
            self._failed_callback()

    def _failed_callback(self) -> None:
        log.exception("a callback of the %s informer failed", self.kind.__name__)


def _same_version(a: Any, b: Any) -> bool:
    if a is b:
        return True
    version = b.metadata.resourceVersion
    return bool(version) and a.metadata.resourceVersion == version and a.metadata.uid == b.metadata.uid


class SharedInformer(ObjectCache[K], Generic[K]):
    """An `ObjectCache` that keeps itself in step with the API server while `run` runs."""

    def __init__(
        self, kind: type[K], client: Client, clock: Clock, when: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        """`when` decides when a new callback is told what is there already: at once, unless it keeps that for later."""
        super().__init__(kind)
        self._when = when
        self._client = client
        self._clock = clock
        self._synced = asyncio.Event()
        self._resource_version = ""
        self._failures = 0

    def on_change(self, callback: Callable[[K | None, K | None], None]) -> None:
        if self._when is None:
            return super().on_change(callback)
        self._callbacks.append(callback)
        self._when(lambda: self._tell_all(callback))

    async def synced(self) -> None:
        await self._synced.wait()

    @property
    def has_synced(self) -> bool:
        """Whether the first complete list is in."""
        return self._synced.is_set()

    async def run(self) -> None:
        """List and follow, for ever."""
        while True:
            try:
                if not self._resource_version:
                    await self._list()
                await self._watch()
                self._failures = 0
            except StatusError as error:
                await self._failed(error)
            except Exception:
                # One kind that cannot be read must not take the others down with it.
                log.exception("following %s failed", self.kind.__name__)
                await self._clock.sleep(RETRY_LIMIT)

    async def _list(self) -> None:
        listed = await self._client.list(self.kind)
        self.replace(listed.items)
        self._resource_version = listed.resource_version
        self._synced.set()

    async def _watch(self) -> None:
        seen = False
        async for event in self._client.watch(self.kind, resource_version=self._resource_version):
            metadata = cast(Any, event.object).metadata
            if event.type == "DELETED":
                self.remove(metadata.name, metadata.namespace or "", event.object)
            elif event.type != "BOOKMARK":
                self.put(event.object)
            self._resource_version = metadata.resourceVersion
            self._failures = 0
            seen = True
        if not seen:
            # A server that ends every watch at once must not be asked in a tight loop.
            await self._clock.sleep(1.0)

    async def _failed(self, error: StatusError) -> None:
        if error.code == 410:
            log.info("the watch of %s fell behind; listing again", self.kind.__name__)
            self._resource_version = ""
            if self._failures == 0:
                self._failures = 1
                return
        delay = min(RETRY_BASE * 2.0 ** min(self._failures, 10), RETRY_LIMIT)
        self._failures += 1
        log.warning("following %s failed, trying again in %.1f s: %s", self.kind.__name__, delay, error)
        await self._clock.sleep(delay)


class Informers:
    """The informers of a process, one per kind, started when first asked for."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[type[Any], SharedInformer[Any]] = {}
        self._scopes: dict[type[Any], anyio.CancelScope] = {}
        self._tasks: TaskGroup | None = None
        self._untold: list[Callable[[], None]] | None = None

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """What is added to informers within hears only at the end what is there already.

        In a process whose caches are full, a controller would else be called back before it has its second informer."""
        untold = self._untold = []
        try:
            yield
        finally:
            self._untold = None
        for tell in untold:
            tell()

    def _when(self, tell: Callable[[], None]) -> None:
        if self._untold is None:
            tell()
        else:
            self._untold.append(tell)

    def informer(self, kind: type[K]) -> SharedInformer[K]:
        """The shared informer of a kind."""
        informer = self._informers.get(kind)
        if informer is None:
            informer = self._informers[kind] = SharedInformer(kind, self._client, self._clock, self._when)
            if self._tasks is not None:
                self._tasks.start_soon(self._run_one, informer)
        return informer

    def drop(self, kind: type[Any]) -> None:
        """Stop following a kind (its resource is no longer served); its objects are told as deleted."""
        informer = self._informers.pop(kind, None)
        scope = self._scopes.pop(kind, None)
        if scope is not None:
            scope.cancel()
        if informer is not None:
            informer.replace([])

    async def run(self) -> None:
        """Keep all informers going until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                for informer in list(self._informers.values()):
                    tasks.start_soon(self._run_one, informer)
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def synced(self) -> None:
        """Return once every informer asked for so far has its first list."""
        for informer in list(self._informers.values()):
            await informer.synced()

    async def _run_one(self, informer: SharedInformer[Any]) -> None:
        with anyio.CancelScope() as scope:
            self._scopes[informer.kind] = scope
            await informer.run()
