"""Serves the OpenAPI documents: the v3 index, one v3 document per group and version, and all of it in v2."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from kybern.api import schema
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.apiserver.paths import Paths, read_only
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resources
from kybern.apiserver.response import JSON, Answer, Response
from kybern.apiserver.version import GIT_VERSION

__all__ = ["OpenAPI"]

_PREFIX = "/openapi/v3/"
_PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2"


class OpenAPI:
    """The documents at /openapi."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._generation = -1
        self._made: dict[str, tuple[bytes, str]] = {}

    def serve(self, paths: Paths) -> None:
        """Add the paths."""
        paths.add("/openapi/v2", read_only(self._v2))
        paths.add("/openapi/v3", read_only(self._index))
        paths.add("/openapi/v3/*", read_only(self._v3))

    def _by_version(self) -> dict[str, list[Kind]]:
        """Path of a group and version (`apis/apps/v1`) -> its kinds."""
        found: dict[str, list[Kind]] = {}
        for resource in self._resources:
            kind = resource.kind
            if not _is_described(kind):
                continue
            path = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
            found.setdefault(path, []).append(kind)
        return found

    def _digest(self, path: str, kinds: list[Kind]) -> str:
        """Changes with the kinds and with the version of the schema; nothing is written to know it."""
        about = "\n".join([GIT_VERSION, path, *sorted(f"{k.plural} {k.verbs} {k.subresources}" for k in kinds)])
        return hashlib.sha512(about.encode()).hexdigest().upper()

    async def _index(self, request: Request) -> Answer:
        paths = {
            path: {"serverRelativeURL": f"{_PREFIX}{path}?hash={self._digest(path, kinds)}"}
            for path, kinds in sorted(self._by_version().items())
        }
        return Response(200, msgspec.json.encode({"paths": paths}))

    async def _v3(self, request: Request) -> Answer:
        path = request.path.removeprefix(_PREFIX).strip("/")
        kinds = self._by_version().get(path)
        if kinds is None:
            raise StatusError.no_such_path()
        digest = self._digest(path, kinds)
        response = await self._document(request, path, digest, lambda: _json_v3(kinds))
        if request.query.get("hash") == [digest]:
            # The hash is part of the address, so the document behind it never changes.
            headers = dict(response.headers or {}) | {
                "Cache-Control": "public, immutable",
                "Expires": "Thu, 31 Dec 2099 23:59:59 GMT",
            }
            return Response(response.status, response.body, response.content_type, headers)
        return response

    async def _v2(self, request: Request) -> Answer:
        accept = request.headers.get("Accept", "")
        kinds = [resource.kind for resource in self._resources if _is_described(resource.kind)]
        if accept.startswith(_PROTOBUF_V2):
            digest, make = self._digest("v2 protobuf", kinds), lambda: _protobuf_v2(kinds)
            response = await self._document(request, "v2 protobuf", digest, make)
            response.content_type = f"{_PROTOBUF_V2}.v1.0+protobuf"
            return response
        if accept and not any(known in accept for known in ("json", "*/*")):
            raise StatusError(406, "NotAcceptable", "only the following media types are accepted: application/json", {})
        return await self._document(request, "v2", self._digest("v2", kinds), lambda: _json_v2(kinds))

    async def _document(self, request: Request, key: str, digest: str, make: Callable[[], bytes]) -> Response:
        tag = f'"{digest}"'
        headers = {"ETag": tag, "Vary": "Accept-Encoding, Accept"}
        if request.headers.get("If-None-Match") == tag:
            return Response(304, b"", JSON, headers)
        kept, of = self._made.get(key, (b"", ""))
        if of != digest:
            kept = await asyncio.to_thread(lambda: zlib.compress(make(), 6, 31))
            self._made[key] = (kept, digest)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return Response(200, kept, JSON, headers | {"Content-Encoding": "gzip"})
        return Response(200, zlib.decompress(kept, 31), JSON, headers)


def _is_described(kind: Kind) -> bool:
    return kind.computed is None or bool(kind.computed.described)


def _info() -> dict[str, str]:
    return {"title": "Kubernetes", "version": GIT_VERSION}


def _json_v2(kinds: list[Kind]) -> bytes:
    return msgspec.json.encode(_document_v2(kinds))


def _protobuf_v2(kinds: list[Kind]) -> bytes:
    from kybern.apiserver.openapi.protobuf import document

    return document(_document_v2(kinds))


def _json_v3(kinds: list[Kind]) -> bytes:
    return msgspec.json.encode(_document_v3(kinds))


def _document_v3(kinds: list[Kind]) -> dict[str, Any]:
    # Most clusters are never asked for these documents: what writes them is imported when one is.
    from kybern.apiserver.openapi.operations import paths_of
    from kybern.apiserver.openapi.schemas import Writer

    writer = Writer(schema.descriptions(), kinds, v3=True)
    paths = paths_of(kinds, writer, v3=True)
    schemes = {
        "BearerToken": {
            "type": "apiKey",
            "description": "Bearer Token authentication",
            "name": "authorization",
            "in": "header",
        }
    }
    return {
        "openapi": "3.0.0",
        "info": _info(),
        "paths": paths,
        "components": {"schemas": writer.finish(), "securitySchemes": schemes},
    }


def _document_v2(kinds: list[Kind]) -> dict[str, Any]:
    from kybern.apiserver.openapi.operations import paths_of
    from kybern.apiserver.openapi.schemas import Writer

    writer = Writer(schema.descriptions(), kinds, v3=False)
    paths = paths_of(kinds, writer, v3=False)
    return {"swagger": "2.0", "info": _info(), "paths": paths, "definitions": writer.finish()}
