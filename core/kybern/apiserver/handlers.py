"""HTTP verbs on resources: read the options and the body, do the verb, encode the outcome."""

from __future__ import annotations

from typing import Any

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.apiserver import body
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import Encoding, list_body, plain, success
from kybern.apiserver.negotiate import Media, negotiate
from kybern.apiserver.operation import Operation, Written
from kybern.apiserver.options import WriteOptions, dry_run_of, list_options, write_options
from kybern.apiserver.patching import APPLY, applied_body, applied_decoder, change_of
from kybern.apiserver.request import Request, query_bool, query_int, readable
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer, Response
from kybern.apiserver.verbs import read
from kybern.apiserver.verbs.create import create
from kybern.apiserver.verbs.delete import DeleteOptions, delete, delete_collection
from kybern.apiserver.verbs.update import replace, update
from kybern.apiserver.watching import WatchAnswer, error_line, event_encoder

__all__ = ["Handlers", "operation"]


def operation(request: Request, dry_run: bool = False, field_manager: str = "") -> Operation:
    """The operation that a request asks for."""
    named = bool(field_manager)
    if not named:
        # Upstream's rule for who does not say: the program's name, up to the slash.
        field_manager = readable(request.headers.get("User-Agent", "")).partition("/")[0][:128]
    return Operation(
        request.user,
        request.now,
        request.namespace if request.resource != "namespaces" else "",
        request.name,
        request.subresource,
        dry_run,
        field_manager,
        named,
        warnings=request.warnings,
    )


_RETURNS_DELETED = frozenset({
    ("", "pods"), ("", "services"), ("", "serviceaccounts"), ("", "persistentvolumes"), ("", "persistentvolumeclaims"),
    ("", "podtemplates"), ("", "resourcequotas"), ("storage.k8s.io", "csidrivers"), ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"), ("storage.k8s.io", "volumeattachments"), ("", "namespaces"),
})  # fmt: skip
"""Kinds whose last state is the answer to their deletion; of others a Status is."""


class Handlers:
    """One method per verb."""

    def __init__(self, backend: Backend, encoding: Encoding) -> None:
        self.backend = backend
        self.encoding = encoding

    async def get(self, request: Request, resource: Resource) -> Answer:
        """GET of one object."""
        media = negotiate(request)
        revision = request.query["resourceVersion"][0] if request.query and "resourceVersion" in request.query else ""
        item = await read.get(resource, operation(request), revision)
        return self.encoding.item(request, resource, item, media)

    async def list(self, request: Request, resource: Resource) -> Answer:
        """GET of a collection."""
        media = negotiate(request, lists=True)
        listing = await read.list_(resource, operation(request), list_options(request.query))
        return self.encoding.listing(request, resource, listing, media)

    async def watch(self, request: Request, resource: Resource) -> Answer:
        """GET of a collection's changes."""
        media = negotiate(request)
        options = list_options(request.query, watch=True)
        encoder = event_encoder(self.encoding.tables, request, resource, media, self.backend.clock)
        try:
            watcher = await read.watch(resource, operation(request), options)
        except StatusError as error:
            if error.code not in (410, 504):
                raise
            # As upstream: what is gone, or still to come, is told in the stream, as to a watch that falls behind.
            return Response(200, error_line(error))
        return WatchAnswer(watcher, encoder, self.backend.clock, options.timeout)

    async def create(self, request: Request, resource: Resource) -> Answer:
        """POST."""
        media = negotiate(request)
        options = write_options(request.query, "CreateOptions")
        obj = await body.read_object(request, resource.kind, options.field_validation)
        written = await create(self.backend, resource, operation(request, options.dry_run, options.field_manager), obj)
        return self.encoding.written(request, resource, written, media)

    async def update(self, request: Request, resource: Resource) -> Answer:
        """PUT."""
        media = negotiate(request)
        options = write_options(request.query, "UpdateOptions")
        obj = await body.read_object(request, resource.kind, options.field_validation)
        written = await replace(self.backend, resource, operation(request, options.dry_run, options.field_manager), obj)
        return self.encoding.written(request, resource, written, media)

    async def patch(self, request: Request, resource: Resource) -> Answer:
        """PATCH."""
        media = negotiate(request)
        options = write_options(request.query, "PatchOptions")
        if body.media_type(request) == APPLY:
            return await self._apply(request, resource, options, media)
        change = await change_of(request, resource.struct, options.field_validation)
        op = operation(request, options.dry_run, options.field_manager)
        written = await update(self.backend, resource, op, change, blind=True)
        return self.encoding.written(request, resource, written, media)

    async def _apply(self, request: Request, resource: Resource, options: WriteOptions, media: Media) -> Answer:
        from kybern.apiserver.verbs.apply import apply

        wanted = await applied_body(request, options)
        op = operation(request, options.dry_run, options.field_manager)
        decode = applied_decoder(request, resource, options)
        written = await apply(self.backend, resource, op, wanted, decode, force=options.force)
        return self.encoding.written(request, resource, written, media)

    async def delete(self, request: Request, resource: Resource) -> Answer:
        """DELETE of one object."""
        media = negotiate(request)
        options, dry_run = await delete_options(request)
        written = await delete(self.backend, resource, operation(request, dry_run), options)
        return self._deleted(request, resource, written, options, media)

    def _deleted(
        self, request: Request, resource: Resource, written: Written, options: DeleteOptions, media: Media
    ) -> Response:
        kind = resource.kind
        if not written.deleted or (kind.group, kind.plural) in _RETURNS_DELETED:
            response = self.encoding.written(request, resource, written, media)
            if not written.deleted and options.orphan is False:
                response.status = 202
            return response
        details: dict[str, Any] = {"name": request.name}
        if kind.group:
            details["group"] = kind.group
        details["kind"] = kind.plural
        details["uid"] = written.object.metadata.uid
        return plain(200, success(details), Media(media.yaml, pretty=media.pretty))

    async def deletecollection(self, request: Request, resource: Resource) -> Answer:
        """DELETE of a collection."""
        media = negotiate(request, lists=True)
        selection = list_options(request.query)
        options, dry_run = await delete_options(request)
        op = operation(request, dry_run)
        listing = await read.list_(resource, op, selection)
        written = await delete_collection(self.backend, resource, op, options, listing.items)
        metadata = b'{"resourceVersion":"%d"}' % listing.revision
        answer = list_body(resource, [w.json for w in written], metadata)
        return plain(200, msgspec.Raw(answer), Media(media.yaml, pretty=media.pretty))


async def delete_options(request: Request) -> tuple[DeleteOptions, bool]:
    """Options of a deletion, from the body or the query; and whether it is a dry run."""
    data = await request.body()
    if data:
        given = await _options_body(request)
        preconditions = given.preconditions
        options = DeleteOptions(
            given.gracePeriodSeconds,
            preconditions.uid if preconditions else None,
            preconditions.resourceVersion if preconditions else None,
            given.propagationPolicy,
            given.orphanDependents,
        )
        dry_values = list(given.dryRun or ())
    else:
        query = request.query
        policy = query.get("propagationPolicy", [""])[0]
        orphan = query_bool(query, "orphanDependents") if "orphanDependents" in query else None
        options = DeleteOptions(query_int(query, "gracePeriodSeconds"), None, None, policy or None, orphan)
        dry_values = query.get("dryRun", [])
    errors = Errors()
    dry_run = dry_run_of(dry_values, errors)
    if errors:
        raise StatusError.invalid("DeleteOptions", "meta.k8s.io", "", errors)
    return options, dry_run


async def _options_body(request: Request) -> Any:
    struct = types.struct("meta", "v1", "DeleteOptions")
    return await body.read_object(request, struct, "Ignore")
