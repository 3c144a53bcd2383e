"""The encode stage: an object or a list in the form that the client accepts.

Cached bytes are joined, not made again.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from kybern.api.errors import StatusError
from kybern.apiserver.negotiate import Media
from kybern.apiserver.operation import Written
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import JSON, PiecedResponse, Response
from kybern.apiserver.tables import Tables, partial
from kybern.store.cache import Item, Listing

__all__ = ["Encoding", "compressed", "plain", "success"]

_YAML = "application/yaml"
_COMPRESS_FROM = 128 * 1024
_PIECE = 100
_INCLUDES = ("None", "Metadata", "Object")


class Encoding:
    """Renders answers."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def item(self, request: Request, resource: Resource, item: Item, media: Media) -> Response:
        """One stored object."""
        if media.form:
            return self._formed(request, resource, resource.object(item), media, 200)
        return _finish(200, resource.json(item), media)

    def written(self, request: Request, resource: Resource, written: Written, media: Media) -> Response:
        """The outcome of a write."""
        code = 201 if written.created else 200
        if media.form:
            return self._formed(request, resource, written.object, media, code)
        return _finish(code, written.json, media)

    def _formed(self, request: Request, resource: Resource, obj: Any, media: Media, code: int) -> Response:
        if media.form != "Table":
            return _finish(code, partial(obj, media.version), media)
        metadata = _list_metadata(obj.metadata.resourceVersion or "")
        table = self.tables.table(
            resource, [obj], request.now, include=included(request), version=media.version, metadata=metadata
        )
        return _finish(code, table, media)

    def listing(self, request: Request, resource: Resource, listing: Listing, media: Media) -> Response:
        """A list or a page of one."""
        metadata = _list_metadata(str(listing.revision), listing.continue_, listing.remaining)
        items = listing.items
        if media.form == "Table":
            objects = (resource.object(i) for i in items)
            body = self.tables.table(
                resource, objects, request.now, include=included(request), version=media.version, metadata=metadata
            )
        elif media.form:
            body = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,"items":[%b]}' % (
                media.version.encode(), metadata, b",".join(partial(resource.object(i), media.version) for i in items)
            )  # fmt: skip
        elif len(items) > _PIECE and not (media.yaml or media.pretty):
            return _in_pieces(resource, items, metadata)
        else:
            body = list_body(resource, [resource.json(i) for i in items], metadata)
        return _finish(200, body, media)


def list_body(resource: Resource, items: list[bytes], metadata: bytes) -> bytes:
    """A List of encoded objects; items do not repeat their kind and apiVersion, as upstream's do not."""
    head = resource.head
    start = len(head)
    joined = b",{".join([i[start:] if i.startswith(head) else i[1:] for i in items])
    return b'%b%b,"items":[%b]}' % (resource.list_head, metadata, b"{" + joined if items else b"")


def _in_pieces(resource: Resource, items: list[Item], metadata: bytes) -> PiecedResponse:
    """A long list, joined a hundred items at a time."""
    start = len(resource.head)
    opening = b'%b%b,"items":[' % (resource.list_head, metadata)
    # Between the items stands `,{` in place of what every encoded object begins with.
    length = len(opening) + sum(len(resource.json(item)) for item in items) - len(items) * (start - 2) - 1 + 2

    def pieces() -> Iterator[bytes]:
        between = opening + b"{"
        for at in range(0, len(items), _PIECE):
            some = [memoryview(resource.json(item))[start:] for item in items[at : at + _PIECE]]
            yield between + b",{".join(some)
            between = b",{"
        yield b"]}"

    return PiecedResponse(200, length, pieces)


def _list_metadata(revision: str, continue_: str = "", remaining: int | None = None) -> bytes:
    text = f'{{"resourceVersion":"{revision}"'
    if continue_:
        text += f',"continue":"{continue_}"'
    if remaining is not None:
        text += f',"remainingItemCount":{remaining}'
    return (text + "}").encode()


def included(request: Request) -> str:
    """What table rows carry of their objects; StatusError 400 for an unknown wish."""
    include = request.query.get("includeObject", ("Metadata",))[0] or "Metadata"
    if include not in _INCLUDES:
        raise StatusError.bad_request(f'unrecognized includeObject value: "{include}"')
    return include


def _finish(code: int, body: bytes, media: Media) -> Response:
    if media.yaml:
        return Response(code, to_yaml(body), _YAML)
    if media.pretty:
        return Response(code, msgspec.json.format(body, indent=2) + b"\n")
    return Response(code, body)


def to_yaml(body: bytes) -> bytes:
    """JSON as YAML."""
    import yaml

    from kybern.apiserver.yaml_loader import Dumper

    text: str = yaml.dump(msgspec.json.decode(body), Dumper=Dumper, default_flow_style=False, allow_unicode=True)
    return text.encode()


def plain(code: int, data: Any, media: Media = Media()) -> Response:  # noqa: B008  # frozen
    """Plain data or a Struct, as an answer."""
    return _finish(code, msgspec.json.encode(data), media)


def success(details: dict[str, Any] | None = None, code: int = 200, **more: Any) -> dict[str, Any]:
    """The Status of a request that went well and has no object to show."""
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        status["details"] = details
    return status | more


async def compressed(request: Request, response: Response) -> Response:
    """Large answers are gzipped for those who accept it, off the event loop."""
    size = response.length if isinstance(response, PiecedResponse) else len(response.body)
    if size < _COMPRESS_FROM or request.method != "GET" or response.content_type not in (JSON, _YAML):
        return response
    if response.headers and "Content-Encoding" in response.headers:
        return response
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return response
    body = await asyncio.to_thread(zlib.compress, response.body, 1, 31)
    headers = dict(response.headers or {}) | {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(response.status, body, response.content_type, headers)
