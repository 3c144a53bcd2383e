"""A cluster as security plugins see it: objects in caches, and a server that has them all. No network, no clock."""

from __future__ import annotations

from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.apiserver.admission import AdmissionRequest
from kybern.apiserver.user import User
from kybern.reconcile.informers import ObjectCache
from kybern.reconcile.lookup import Lookup

JANE = User("jane", ("devs", "system:authenticated"))
ADMIN = User("admin", ("system:masters", "system:authenticated"))


class World:
    """Caches by kind, filled by `add`; `get`, `list`, `create`... as a client of the same objects."""

    def __init__(self) -> None:
        self.caches: dict[str, ObjectCache[Any]] = {}
        self.only_on_server: dict[tuple[str, str, str], Any] = {}
        self.written: list[tuple[str, Any]] = []
        self._uids = 0

    def informer(self, kind: type[Any]) -> ObjectCache[Any]:
        return self.caches.setdefault(kind.__name__, ObjectCache(kind))

    def add(self, obj: Any) -> Any:
        """Everybody knows the object."""
        self._complete(obj)
        self.informer(type(obj)).put(obj)
        return obj

    def add_on_server(self, obj: Any) -> Any:
        """The object is so new that no cache has it yet."""
        self._complete(obj)
        self.only_on_server[type(obj).__name__, obj.metadata.namespace or "", obj.metadata.name] = obj
        return obj

    def remove(self, obj: Any) -> None:
        self.informer(type(obj)).remove(obj.metadata.name, obj.metadata.namespace or "")
        self.only_on_server.pop((type(obj).__name__, obj.metadata.namespace or "", obj.metadata.name), None)

    def lookup(self, kind: type[Any]) -> Lookup[Any]:
        return Lookup(self, self.informer(kind), kind)  # type: ignore[arg-type]  # the part of a client that it uses

    def _complete(self, obj: Any) -> None:
        self._uids += 1
        obj.metadata.uid = obj.metadata.uid or f"uid-{self._uids}"
        obj.metadata.resourceVersion = str(self._uids)

    async def get(self, kind: type[Any], name: str, namespace: str = "", **_: Any) -> Any:
        found = self.informer(kind).get(name, namespace)
        found = self.only_on_server.get((kind.__name__, namespace, name), found)
        if found is None:
            raise StatusError.not_found(kind.__name__.lower() + "s", "", name)
        return found

    async def list(self, kind: type[Any], namespace: str = "", **_: Any) -> Any:
        from kybern.client.interface import ObjectList

        return ObjectList(self.informer(kind).list(namespace), "1")

    async def create(self, obj: Any, **_: Any) -> Any:
        if self.informer(type(obj)).get(obj.metadata.name, obj.metadata.namespace or "") is not None:
            raise StatusError.already_exists(type(obj).__name__.lower() + "s", "", obj.metadata.name)
        self.written.append(("create", obj))
        return self.add(types.copy(obj))

    async def update(self, obj: Any, *, subresource: str = "", **_: Any) -> Any:
        self.written.append((f"update {subresource}".strip(), obj))
        return self.add(types.copy(obj))

    async def update_status(self, obj: Any) -> Any:
        return await self.update(obj, subresource="status")

    async def delete(self, kind: type[Any], name: str, namespace: str = "", **_: Any) -> Any:
        found = await self.get(kind, name, namespace)
        self.written.append(("delete", found))
        self.remove(found)


def request(
    operation: str,
    obj: Any,
    *,
    old: Any = None,
    user: User = JANE,
    subresource: str = "",
    about: Any = None,
) -> AdmissionRequest:
    """An admission request about `obj` (or, when the body is of another kind, about `about`)."""
    subject = about if about is not None else obj if obj is not None else old
    metadata = subject.metadata
    return AdmissionRequest(
        operation,
        types.kind_of(subject),
        subresource,
        metadata.namespace or "",
        metadata.name or "",
        user,
        obj,
        old,
    )


async def admit(plugin: Any, asked: AdmissionRequest) -> Any:
    """The object after the plugin; StatusError when it refuses; untouched when it does not care."""
    if plugin.handles(asked.operation, asked.kind, asked.subresource):
        await plugin.mutate(asked)
        await plugin.validate(asked)
    return asked.object


def plain(text: str, **fields: Any) -> Any:
    """`plain("v1/Pod", ...)`: an object of that kind from plain data."""
    api_version, _, kind = text.rpartition("/")
    group, _, version = api_version.rpartition("/")
    return types.from_plain(types.struct(group, version, kind), {"apiVersion": api_version, "kind": kind, **fields})
