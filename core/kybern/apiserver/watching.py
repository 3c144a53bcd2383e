"""A watch on a connection: events go from the cache to the transport without a task switch in between.

Each event is framed once, as one chunk of an HTTP/1.1 body, and the same bytes are written to every
watcher. A connection that does not keep up is left alone until its buffer has drained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.apiserver.encode import included
from kybern.apiserver.negotiate import Media
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.tables import Tables, partial
from kybern.clock import Clock
from kybern.store.cache import Event, Watcher

__all__ = ["EventEncoder", "WatchAnswer", "chunk", "error_line", "event_encoder"]

EventEncoder = Callable[[Event], bytes]
"""An event as a chunk of the answer."""

_SHORTEST = 1800.0
_HIGH_WATER = 1 << 20


def chunk(data: bytes) -> bytes:
    """Bytes framed as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def error_line(error: StatusError) -> bytes:
    """The last event of a watch that cannot go on."""
    return b'{"type":"ERROR","object":%b}\n' % msgspec.json.encode(error.status())


def _line(event: Event, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (event.type.encode(), body)


def event_encoder(tables: Tables, request: Request, resource: Resource, media: Media, clock: Clock) -> EventEncoder:
    """How events are written to this client. Renderings are kept with the event, for others who want the same."""
    if media.yaml:
        raise StatusError(
            406, "NotAcceptable", "only the following media types are accepted: application/json;stream=watch", {}
        )
    if media.form == "Table":
        return _table_encoder(tables, request, resource, media, clock)
    if media.form:
        return _shared((resource, media.form, media.version), lambda e: _line(e, partial(e.object, media.version)))
    if resource.stored_as_served:
        return _plain_chunk
    return _shared(resource, lambda e: _line(e, _converted(resource, e)))


def _plain_chunk(event: Event) -> bytes:
    return event.chunk


def _converted(resource: Resource, event: Event) -> bytes:
    if event.type != "BOOKMARK":
        return resource.json(event.item)
    bookmark = msgspec.json.decode(event.item.json)
    bookmark["apiVersion"] = resource.kind.api_version
    return msgspec.json.encode(bookmark)


def _shared(key: Any, render: Callable[[Event], bytes]) -> EventEncoder:
    def encoder(event: Event) -> bytes:
        done = event.forms.get(key)
        if done is None:
            done = event.forms[key] = chunk(render(event))
        return bytes(done)

    return encoder


def _table_encoder(tables: Tables, request: Request, resource: Resource, media: Media, clock: Clock) -> EventEncoder:
    include = included(request)
    first = True

    def encoder(event: Event) -> bytes:
        nonlocal first
        metadata = b'{"resourceVersion":"%d"}' % event.revision
        if event.type == "BOOKMARK":
            body = _bookmark_table(event, media, metadata)
        else:
            obj = resource.from_storage(event.object)
            body = tables.table(
                resource, [obj], clock.now(), include=include, version=media.version, metadata=metadata, columns=first
            )
            first = False
        return chunk(_line(event, body))

    return encoder


def _bookmark_table(event: Event, media: Media, metadata: bytes) -> bytes:
    annotations = event.object.metadata.annotations
    if annotations:
        metadata = metadata[:-1] + b',"annotations":' + types.encode(annotations) + b"}"
    return b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":null,"rows":[]}' % (
        media.version.encode(), metadata
    )  # fmt: skip


class WatchAnswer:
    """One watch, from its first event to its end."""

    status = 200

    def __init__(self, watcher: Watcher, encode: EventEncoder, clock: Clock, timeout: int | None) -> None:
        """`timeout`: seconds after which the server ends the watch; half an hour unless the client says."""
        self._watcher = watcher
        self._encode = encode
        self._clock = clock
        self._timeout = float(timeout) if timeout else _SHORTEST
        self._transport: Any = None
        self._slow = False
        self._wake: Any = None

    async def run(self, http: Any) -> web.StreamResponse:
        """Write events until the client goes, the time is up or the cache ends the watch."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        try:
            writer = await response.prepare(http)
            writer = writer if writer is not None else response._payload_writer
            # Headers go out with the first body bytes; the first event may be long in coming.
            getattr(writer, "send_headers", lambda: None)()
            await self._stream(http, writer)
        finally:
            self._watcher.notify = _ignore
            self._watcher.close()
        await response.write_eof()
        return response

    async def _stream(self, http: Any, writer: Any) -> None:
        self._transport = http.transport
        if self._transport is None:
            return  # the client went while its watch was prepared
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        self._watcher.notify = self._flush
        timer = self._clock.call_later(self._timeout, self._time_up)
        try:
            self._flush()
            while not self._watcher.ended or self._watcher.queue:
                await self._wake
                self._wake = loop.create_future()
                # Neither a future that is done nor a drain without need lets others run.
                await asyncio.sleep(0)  # noqa: TID251
                await writer.drain()
                if self._transport.is_closing():
                    return
                self._slow = False
                self._flush()
        finally:
            timer.cancel()
        self._last_words()

    def _flush(self) -> None:
        """Write what is queued; called by the cache in the middle of a commit, so it must not wait."""
        watcher = self._watcher
        queue, transport = watcher.queue, self._transport
        if not self._slow and queue and transport is not None and not transport.is_closing():
            encode = self._encode
            if len(queue) == 1:
                transport.write(encode(queue.popleft()))
            else:
                self._write_many(queue, transport)
            # What is left in the queue goes out after a turn of the loop, even when the transport took all so far.
            self._slow = bool(queue) or transport.get_write_buffer_size() > _HIGH_WATER
        if (self._slow or watcher.ended) and not self._wake.done():
            self._wake.set_result(None)

    def _write_many(self, queue: Any, transport: Any) -> None:
        """A backlog goes out in pieces, so that a slow client's buffer does not grow with it."""
        encode, size, pieces = self._encode, 0, []
        while queue and size < _HIGH_WATER:
            piece = encode(queue.popleft())
            size += len(piece)
            pieces.append(piece)
        transport.write(b"".join(pieces))

    def _time_up(self) -> None:
        watcher = self._watcher
        if watcher.bookmarks and not watcher.ended:
            watcher.queue.append(watcher.bookmark())
        watcher.close()

    def _last_words(self) -> None:
        error = self._watcher.error
        if error is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.write(chunk(error_line(error)))


def _ignore() -> None:
    return None
