"""Reads of resources that are not stored: the question goes to the kind's `computed`, its answer to the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kybern.api import selectors
from kybern.api.computed import Plain, ReadRequest
from kybern.api.errors import StatusError
from kybern.apiserver.encode import Encoding, included, plain
from kybern.apiserver.negotiate import Media, negotiate
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer, Response

__all__ = ["ComputedReads"]


class ComputedReads:
    """get and list; everything else is 405."""

    def __init__(self, encoding: Encoding) -> None:
        self._tables = encoding.tables

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer one request."""
        kind = resource.kind
        if kind.computed is None or request.verb not in resource.verbs:
            raise StatusError.method_not_allowed()
        if request.namespace and not kind.namespaced:
            raise StatusError.no_such_path()
        media = negotiate(request, lists=request.verb == "list")
        question = _question(request)
        if request.verb == "get":
            found = await kind.computed.get(question)
            if _wants_table(resource, media):
                return self._table(request, resource, [found], media)
            return plain(200, found, media)
        items = await kind.computed.list(question)
        if _wants_table(resource, media):
            return self._table(request, resource, items, media)
        head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": {}}
        return plain(200, head | {"items": items}, media)

    def _table(self, request: Request, resource: Resource, objects: Sequence[Plain], media: Media) -> Response:
        include = included(request)
        table = self._tables.table(resource, objects, request.now, include=include, version=media.version)
        return plain(200, msgspec.Raw(table), media)


def _wants_table(resource: Resource, media: Media) -> bool:
    return media.form == "Table" and resource.kind.row is not None


def _question(request: Request) -> ReadRequest:
    labels, fields = ((request.query.get(name) or [""])[0] for name in ("labelSelector", "fieldSelector"))
    try:
        return ReadRequest(
            request.resource, request.namespace, request.name, request.subresource, selectors.parse_labels(labels),
            selectors.parse_fields(fields), request.query, request.now,
        )  # fmt: skip
    except ValueError as error:
        raise StatusError.bad_request(str(error)) from None
