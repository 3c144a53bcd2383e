"""A resource as it is served: its kind, where it is stored, and how one turns into the other.

Kinds with several served versions share one storage; the other versions convert on the way in and
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.registry import Registry
from kybern.apiserver.expiry import expiry_of
from kybern.clock import Clock
from kybern.store.cache import Codec, Item, ResourceCache, WatchCache
from kybern.store.interface import Store

__all__ = ["Resource", "Resources", "storage_prefix"]


_NO_RULES = attrs.fields(Kind).validate.default


def storage_prefix(kind: Kind) -> str:
    """Where objects of a kind live: `/registry/apps/deployments/`."""
    return f"/registry/{kind.group or 'core'}/{kind.plural}/"


class Resource:
    """One kind at one version."""

    def __init__(self, kind: Kind, storage: Kind, cache: ResourceCache | None) -> None:
        """`storage`: the kind that is stored (mostly `kind` itself); `cache`: None for kinds that only ask."""
        self.kind = kind
        self.storage = storage
        self.struct: type[Any] = kind.struct
        self.stored_as_served = storage is kind
        self._cache = cache
        self.subresources = {s.name: s for s in kind.subresources}
        self.verbs = frozenset(kind.verbs)
        head = f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",'.encode()
        self.head = head
        """What every encoded object of this kind begins with."""
        self.list_head = f'{{"kind":"{kind.kind}List","apiVersion":"{kind.api_version}","metadata":'.encode()

    @property
    def cache(self) -> ResourceCache:
        """The stored objects; StatusError 405 for kinds that are not stored."""
        if self._cache is None:
            raise StatusError.method_not_allowed()
        return self._cache

    def object(self, item: Item) -> Any:
        """A stored item as an object of this version (read-only)."""
        return item.object if self.stored_as_served else self.from_storage(item.object)

    def json(self, item: Item) -> bytes:
        """A stored item as this version's JSON."""
        return item.json if self.stored_as_served else types.encode(self.from_storage(item.object))

    def from_storage(self, stored: Any) -> Any:
        """A stored object in this version."""
        convert = self.kind.convert_from_storage
        return stored if self.stored_as_served or convert is None else convert(stored)

    def to_storage(self, obj: Any) -> Any:
        """An object of this version as it is stored."""
        convert = self.kind.convert_to_storage
        return obj if self.stored_as_served or convert is None else convert(obj)

    def rules(self, stored: Any) -> tuple[Kind, Any]:
        """The kind whose validation judges an object, and the object in its form: this version's own, if it has one."""
        if self.stored_as_served or self.kind.validate is _NO_RULES:
            return self.storage, stored
        return self.kind, self.from_storage(stored)

    def item(self, namespace: str, name: str) -> Item:
        """The stored item; StatusError 404 when there is none."""
        item = self.cache.get(namespace, name)
        if item is None:
            raise self.not_found(name)
        return item

    def not_found(self, name: str) -> StatusError:
        """404 in this resource's words."""
        return StatusError.not_found(self.kind.plural, self.kind.group, name)


class Resources:
    """All resources of a server, by path and by Struct class."""

    def __init__(self, registry: Registry, store: Store, clock: Clock, *, housekeeping: bool = True) -> None:
        self.registry = registry
        self.watch_cache = WatchCache(store, clock, housekeeping=housekeeping)
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_struct: dict[type[Any], Resource] = {}
        self.generation = 0
        """Counts additions, so that documents derived from the set know when they are stale."""

    async def start(self) -> None:
        """Open the watch cache and read every kind's objects into it."""
        await self.watch_cache.start()
        kinds = sorted(self.registry, key=lambda k: k.storage_version_of is not None)
        for kind in kinds:
            await self._add(kind)

    async def add(self, kind: Kind) -> Resource:
        """Serve one more kind from now on."""
        self.registry.add(kind)
        return await self._add(kind)

    async def _add(self, kind: Kind) -> Resource:
        storage, cache = kind, None
        if kind.storage_version_of is not None:
            shared = self._shared(kind)
            storage, cache = shared.kind, shared.cache
        elif kind.computed is None and ("get" in kind.verbs or "list" in kind.verbs):
            struct = kind.struct
            codec = Codec(
                api_version=kind.api_version,
                kind=kind.kind,
                decode=lambda data: types.decode(struct, data),
                encode=types.encode,
            )
            cache = await self.watch_cache.add(storage_prefix(kind), codec, expires=expiry_of(kind))
        resource = Resource(kind, storage, cache)
        self._by_path[kind.group, kind.version, kind.plural] = resource
        if kind.computed is None:
            self._by_struct.setdefault(resource.struct, resource)
        self.generation += 1
        return resource

    def _shared(self, kind: Kind) -> Resource:
        group, version = kind.storage_version_of or ("", "")
        shared = next(
            (r for r in self if (r.kind.group, r.kind.version, r.kind.kind) == (group, version, kind.kind)), None
        )
        if shared is None:
            raise ValueError(
                f"{kind.api_version} {kind.kind} shares the storage of {group}/{version}, which is not served"
            )
        return shared

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource behind a path."""
        return self._by_path.get((group, version, plural)) or self._by_path.get((group, version, "*"))

    def serves(self, group: str) -> bool:
        """Whether anything of an API group is served."""
        return any(served == group for served, _, _ in self._by_path)

    def of(self, struct: type[Any]) -> Resource:
        """The resource whose objects are of this Struct class; KeyError when none is."""
        return self._by_struct[struct]

    def named(self, plural: str, group: str = "", version: str = "v1") -> Resource:
        """A resource that must be there; KeyError when it is not."""
        return self._by_path[group, version, plural]

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    async def close(self) -> None:
        """End all watches."""
        await self.watch_cache.close()
