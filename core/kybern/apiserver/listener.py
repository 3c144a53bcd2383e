"""The listener: HTTPS connections become Requests, and Answers become bytes again (aiohttp's low-level server).

Finished answers are written head and body in one go, without the layers that a web framework adds.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError, HttpVersion11
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.streams import StreamReader

from kybern.api.errors import StatusError
from kybern.apiserver.body import LIMIT, too_large
from kybern.apiserver.pipeline import Pipeline
from kybern.apiserver.request import Request
from kybern.apiserver.response import JSON, PiecedResponse, Response, from_error
from kybern.clock import Clock

__all__ = ["Listener"]

log = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 17
_GRACE = 2.0
BODY_TIMEOUT = 60.0
"""Seconds that a client has to send its body."""
_DRAIN_FROM = 1 << 16
_NONE: dict[str, str] = {}
_REQUEST_LINE = re.compile(r"[A-Za-z-]+ /\S* HTTP/1\.[01]")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Listener:
    """Serves one pipeline on any number of sockets."""

    def __init__(self, pipeline: Pipeline, clock: Clock) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._server: web.Server | None = None
        self._sockets: list[asyncio.Server] = []
        self._certificates: WeakKeyDictionary[Any, bytes | None] = WeakKeyDictionary()
        """The client certificate of each connection: the same for all its requests."""

    async def serve(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        """Accept connections from now on."""
        if self._server is None:
            self._server = _Server(
                self._handle, handler_cancellation=True, access_log=None, keepalive_timeout=180.0, lingering_time=5.0,
                max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE, auto_decompress=False,
            )  # fmt: skip
        loop = asyncio.get_running_loop()
        self._sockets.append(
            await loop.create_server(self._server, sock=listening, ssl=context, backlog=1024, start_serving=True)
        )

    async def close(self) -> None:
        """Accept no more, let requests in progress finish for a moment, then end all connections."""
        for server in self._sockets:
            server.close()
        self._sockets.clear()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(_GRACE)
            self._server = None

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        request = self._request(http)
        answer = await self._pipeline(request)
        if isinstance(answer, Response):
            return Wire(answer, request)
        response: web.StreamResponse = await answer.run(http)
        return response

    def _request(self, http: web.BaseRequest) -> Request:
        transport = http.transport
        certificate = peer = None
        if transport is not None:
            secured = transport.get_extra_info("ssl_object")
            certificate = self._certificate(secured) if secured is not None else None
            peer = transport.get_extra_info("peername")
        target = http.raw_path
        if not target.startswith("/"):
            target = _origin_form(target)
        return Request(
            http.method, target, http.headers, lambda: self._body(http), self._clock.now(),
            peer=peer[0] if peer else "", certificate=certificate, http=http,
        )  # fmt: skip

    def _certificate(self, secured: Any) -> bytes | None:
        try:
            return self._certificates[secured]
        except KeyError:
            found: bytes | None = secured.getpeercert(True)
            self._certificates[secured] = found
            return found

    async def _body(self, http: web.BaseRequest) -> bytes:
        """The whole body; StatusError 413 when it is too large, 408 when it does not come."""
        content = http.content
        if content.is_eof():
            return await _read(http)
        timer = self._clock.call_later(BODY_TIMEOUT, _give_up, content)
        try:
            return await _read(http)
        finally:
            timer.cancel()


class _Server(web.Server):
    """Connections that refuse in upstream's words what is no request."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """As Go's server: a line of text, but a Status for a method that is only unknown."""
        if isinstance(exc, BadHttpMethod) and _REQUEST_LINE.search(str(message or exc)):
            error = StatusError.method_not_allowed()
            return _closing(web.Response(status=error.code, body=from_error(error).body, content_type=JSON))
        if exc is not None and not isinstance(exc, HttpProcessingError):
            log.error("%s %s: %s", request.method, request.path, exc, exc_info=exc)
        return _closing(web.Response(status=status, text=f"{status} {_PHRASES.get(status, '')}"))


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def _give_up(content: StreamReader) -> None:
    text = f"the body of the request did not arrive within {BODY_TIMEOUT:.0f} seconds"
    content.set_exception(StatusError(408, "Timeout", text, {}))


def _origin_form(target: str) -> str:
    """The path of an absolute-form request target; anything odd becomes a path that does not exist."""
    _, found, rest = target.partition("://")
    if found:
        return "/" + rest.partition("/")[2]
    return "/" + target


async def _read(http: web.BaseRequest) -> bytes:
    """The whole body, up to the limit."""
    if not http.can_read_body:
        return b""
    if (http.content_length or 0) > LIMIT:
        raise too_large()
    if http.headers.get("Expect", "").lower() == "100-continue" and http.transport is not None:
        http.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = http.content
    first = await content.readany()
    if content.at_eof():
        if len(first) > LIMIT:
            raise too_large()
        return first
    pieces, size = [first], len(first)
    while not content.at_eof():
        piece = await content.readany()
        size += len(piece)
        if size > LIMIT:
            raise too_large()
        pieces.append(piece)
    return b"".join(pieces)


class Wire(web.StreamResponse):
    """A complete answer as aiohttp's server sees it: `prepare` writes all of it."""

    def __init__(self, answer: Response, request: Request) -> None:
        # Nothing of the base class is used; its constructor would cost more than the rest of this class.
        self._answer = answer
        self._request = request
        self._lasting = True

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def keep_alive(self) -> bool:
        return self._lasting

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write head and body."""
        answer = self._answer
        transport = request.transport
        if transport is None:
            return None
        # A body that nobody has read stays in the connection; only an end of the connection is sure to skip it.
        self._lasting = (
            request.keep_alive
            and request.version >= HttpVersion11
            and (not request.can_read_body or request.content.is_eof())
        )
        if isinstance(answer, PiecedResponse):
            await self._write_pieces(answer, request, transport)
            return None
        head = _head(answer, self._request, self._lasting, len(answer.body))
        if request.method == "HEAD" or answer.status in (204, 304):
            transport.write(head)
            return None
        body = answer.body
        if len(body) < _DRAIN_FROM:
            transport.write(head + body)
            return None
        transport.writelines((head, body))
        await request._payload_writer.drain()
        return None

    async def _write_pieces(self, answer: PiecedResponse, request: web.BaseRequest, transport: Any) -> None:
        transport.write(_head(answer, self._request, self._lasting, answer.length))
        if request.method == "HEAD":
            return
        for piece in answer.pieces():
            transport.write(piece)
            # The transport sends when the loop turns; a drain alone would wait only for a full buffer.
            await asyncio.sleep(0)  # noqa: TID251
            await request._payload_writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """All is written."""


def _head(answer: Response, request: Request, keep_alive: bool, length: int) -> bytes:
    headers = answer.headers or _NONE
    text = f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, '')}\r\n"
    if "Cache-Control" not in headers:
        text += "Cache-Control: no-cache, private\r\n"
    if answer.status not in (204, 304):
        # Caches take over what a 304 says about a body, so it says nothing.
        text += f"Content-Type: {answer.content_type}\r\nContent-Length: {length}\r\n"
    for name, value in headers.items():
        text += f"{name}: {_one_line(value)}\r\n"
    for warning in dict.fromkeys(request.warnings):  # a change that met another was made, and warned of, again
        text += f'Warning: 299 - "{_quoted(warning)}"\r\n'
    if not keep_alive:
        text += "Connection: close\r\n"
    return (text + "\r\n").encode("utf-8", "replace")


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def _quoted(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace('"', '\\"')
