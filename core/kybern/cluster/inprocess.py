"""The client inside the server's own process: the same pipeline after authentication, without HTTP.

Objects are handed over by reference: what it returns is the cache's own and read-only, what it is
given is copied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.apiserver.authorization import Attributes
from kybern.apiserver.body import object_from
from kybern.apiserver.operation import Operation
from kybern.apiserver.options import ListOptions
from kybern.apiserver.patching import patch_change
from kybern.apiserver.pipeline import unreachable
from kybern.apiserver.request import Request
from kybern.apiserver.response import Response
from kybern.apiserver.subresources.binding import bind
from kybern.apiserver.user import User
from kybern.apiserver.verbs import read
from kybern.apiserver.verbs.create import create
from kybern.apiserver.verbs.delete import DeleteOptions, delete, delete_collection
from kybern.apiserver.verbs.update import replace, update
from kybern.client.interface import Client, Event, ObjectList, PatchType, Propagation
from kybern.store.interface import StoreError

if TYPE_CHECKING:
    from kybern.apiserver.backend import Backend
    from kybern.apiserver.resource import Resource
    from kybern.apiserver.server import APIServer

K = TypeVar("K")
R = TypeVar("R")
P = ParamSpec("P")

__all__ = ["ADMIN", "InProcessClient"]

ADMIN = User("system:admin", ("system:masters", "system:authenticated"))


def _own(given: Any) -> Any:
    """A copy that the server may keep, in the canonical form that decoding gives what comes over HTTPS."""
    copied = types.copy(given)
    try:
        types.normalize(copied)
    except ValueError as e:
        raise StatusError.bad_request(str(e)) from None
    return copied


def _own_status(given: Any) -> Any:
    """As `_own`, of what a write of the status can change; the rest it takes from the stored object."""
    own = copy(given)
    own.metadata = _own(given.metadata)
    own.status = None if given.status is None else _own(given.status)
    return own


_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


def _told(write: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """A store that cannot be written to (a full disk) is a 503, as it is over HTTPS: clients try again."""

    @wraps(write)
    async def told(*args: P.args, **named: P.kwargs) -> R:
        try:
            return await write(*args, **named)
        except StoreError as error:
            raise unreachable(error) from error

    return told


class InProcessClient(Client):
    """A client of the API server in this process."""

    def __init__(
        self, server: Callable[[], APIServer], user: User = ADMIN, component: str = "kube-controller-manager"
    ) -> None:
        """`server` is asked at each call, so that the client can be made before its server. `component`: how its
        writes are known in `managedFields`, when it does not say."""
        self._server = server
        self.user = user
        self.component = component

    def as_user(self, user: User) -> InProcessClient:
        """The same server, as somebody else."""
        return InProcessClient(self._server, user, self.component)

    def as_component(self, component: str) -> InProcessClient:
        """The same server and user, under another name."""
        return InProcessClient(self._server, self.user, component)

    def _begin(
        self, verb: str, kind: type[Any], namespace: str, name: str = "", subresource: str = "", **more: Any
    ) -> tuple[Backend, Resource, Operation]:
        """Authorize and describe an operation."""
        backend = self._server().backend
        try:
            resource = backend.resources.of(kind)
        except KeyError:
            raise StatusError.no_such_path() from None
        about = resource.kind
        namespace = namespace if about.namespaced else ""
        authorized = name if about.plural == "namespaces" and not about.group else namespace
        backend.authorization.require(
            Attributes(self.user, verb, True, about.group, about.version, about.plural, subresource, authorized, name)
        )
        named = bool(more.get("field_manager"))
        if not named:
            more["field_manager"] = self.component
        op = Operation(self.user, backend.clock.now(), namespace, name, subresource, named=named, **more)
        return backend, resource, op

    async def get(self, kind: type[K], name: str, namespace: str = "", *, resource_version: str = "") -> K:
        _, resource, op = self._begin("get", kind, namespace, name)
        item = await read.get(resource, op, resource_version)
        found: K = resource.object(item)
        return found

    async def list(
        self, kind: type[K], namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0,
        continue_: str = "", resource_version: str = "",
    ) -> ObjectList[K]:  # fmt: skip
        _, resource, op = self._begin("list", kind, namespace)
        options = ListOptions(labels, fields, limit, continue_, resource_version)
        listing = await read.list_(resource, op, options)
        items = [resource.object(item) for item in listing.items]
        return ObjectList(items, str(listing.revision), listing.continue_, listing.remaining)

    async def watch(
        self, kind: type[K], namespace: str = "", *, resource_version: str = "", labels: str = "", fields: str = "",
        bookmarks: bool = True,
    ) -> AsyncIterator[Event[K]]:  # fmt: skip
        _, resource, op = self._begin("watch", kind, namespace)
        # Bookmarks are for those who may lose their connection.
        options = ListOptions(labels, fields, resource_version=resource_version)
        watcher = await read.watch(resource, op, options)
        try:
            while events := await watcher.take():
                for event in events:
                    yield Event(event.type, resource.from_storage(event.object))
        finally:
            watcher.close()

    @_told
    async def create(self, obj: K, *, dry_run: bool = False, field_manager: str = "") -> K:
        given: Any = obj
        metadata = given.metadata
        backend, resource, op = self._begin(
            "create", type(given), metadata.namespace or "", dry_run=dry_run, field_manager=field_manager
        )
        if resource.kind.verbs == ("create",):
            answer: K = await self._ask(given)
            return answer
        written = await create(backend, resource, op, _own(given))
        made: K = written.object
        return made

    async def _ask(self, question: Any) -> Any:
        """Review kinds are answered by plugins, behind the whole pipeline."""
        kind = types.kind_of(question)
        base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        where = f"/namespaces/{question.metadata.namespace}" if kind.namespaced else ""
        data = await self._post(f"{base}{where}/{kind.plural}", question)
        return types.decode(type(question), data) if kind.plural != "bindings" else msgspec.json.decode(data)

    async def _post(self, path: str, body: Any) -> bytes:
        code, data = await self.raw("POST", path, types.encode(body))
        if code >= 400:
            raise StatusError.from_status(msgspec.json.decode(data), code)
        return data

    @_told
    async def update(self, obj: K, *, subresource: str = "", dry_run: bool = False, field_manager: str = "") -> K:
        given: Any = obj
        metadata = given.metadata
        backend, resource, op = self._begin(
            "update", type(given), metadata.namespace or "", metadata.name or "", subresource,
            dry_run=dry_run, field_manager=field_manager,
        )  # fmt: skip
        own = _own_status(given) if subresource == "status" else _own(given)
        written = await replace(backend, resource, op, own)
        made: K = written.object
        return made

    @_told
    async def patch(
        self, kind: type[K], name: str, namespace: str, patch: Any, *, type: PatchType = "merge", subresource: str = "",
        dry_run: bool = False, field_manager: str = "", force: bool = False,
    ) -> K:  # fmt: skip
        backend, resource, op = self._begin(
            "patch", kind, namespace, name, subresource, dry_run=dry_run, field_manager=field_manager
        )
        if type == "apply":
            from kybern.apiserver.verbs.apply import apply

            def decode(plain: Any) -> Any:
                return object_from(msgspec.json.encode(plain), resource.struct, "Warn", op.warnings)

            applied: K = (await apply(backend, resource, op, patch, decode, force=force)).object
            return applied
        change = patch_change(_PATCH_TYPES[type], msgspec.json.encode(patch), resource.struct, "Warn", op.warnings)
        written = await update(backend, resource, op, change, blind=True)
        made: K = written.object
        return made

    @_told
    async def delete(
        self, kind: type[K], name: str, namespace: str = "", *, uid: str = "", resource_version: str = "",
        propagation: Propagation | None = None, grace_period: int | None = None, dry_run: bool = False,
    ) -> Any:  # fmt: skip
        backend, resource, op = self._begin("delete", kind, namespace, name, dry_run=dry_run)
        options = DeleteOptions(grace_period, uid or None, resource_version or None, propagation)
        return (await delete(backend, resource, op, options)).object

    @_told
    async def delete_collection(
        self, kind: type[K], namespace: str = "", *, labels: str = "", fields: str = "",
        propagation: Propagation | None = None,
    ) -> None:  # fmt: skip
        backend, resource, op = self._begin("deletecollection", kind, namespace)
        listing = await read.list_(resource, op, ListOptions(labels, fields))
        await delete_collection(backend, resource, op, DeleteOptions(propagation=propagation), listing.items)

    @_told
    async def create_subresource(self, kind: type[Any], name: str, namespace: str, subresource: str, body: Any) -> Any:
        if subresource == "binding":
            backend, _, op = self._begin("create", kind, namespace, name, subresource)
            await bind(backend, op, types.copy(body))
            return None
        about = types.kind_of(kind)
        base = f"/apis/{about.group}/{about.version}" if about.group else f"/api/{about.version}"
        where = f"/namespaces/{namespace}" if about.namespaced else ""
        data = await self._post(f"{base}{where}/{about.plural}/{name}/{subresource}", body)
        answer = msgspec.json.decode(data)
        return types.from_plain(type(body), answer) if answer.get("kind") == body.kind else answer

    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        server = self._server()

        async def read_body() -> bytes:
            return body

        request = Request(method, path, headers or {}, read_body, server.clock.now())
        request.user = self.user
        answer = await server.pipeline(request, authenticated=True)
        if not isinstance(answer, Response):
            return await _collected(answer)
        return answer.status, answer.body


async def _collected(answer: Any) -> tuple[int, bytes]:
    """A log, read to its end; a watch has none, so it is not asked for this way."""
    chunks = getattr(answer, "chunks", None)
    if chunks is None:
        raise ValueError("streams are not read by raw(); use watch()")
    return answer.status, b"".join([chunk async for chunk in chunks])
