"""What a request is answered with, before the listener turns it into bytes on a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from kybern.api.errors import StatusError

__all__ = ["JSON", "Answer", "PiecedResponse", "Response", "StreamAnswer", "from_error", "nothing_here"]

JSON = "application/json"


class Response:
    """A complete answer."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, status: int, body: bytes, content_type: str = JSON, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


class PiecedResponse(Response):
    """A large answer whose body is made while it is written, so that the client reads while the server works."""

    __slots__ = ("length", "pieces")

    def __init__(self, status: int, length: int, pieces: Callable[[], Iterator[bytes]]) -> None:
        """`pieces()` yields the body anew at each call; `length` is what they add up to."""
        self.status = status
        self.content_type = JSON
        self.headers = None
        self.length = length
        self.pieces = pieces

    @property
    def body(self) -> bytes:  # type: ignore[override]  # made on demand
        """All of it."""
        return b"".join(self.pieces())


class StreamAnswer(Protocol):
    """An answer that goes on: a watch, a log, an upgraded connection."""

    status: int

    async def run(self, http: Any) -> Any:
        """Write it to the aiohttp request's connection until it ends; returns the aiohttp response."""


Answer = Response | StreamAnswer


def nothing_here() -> Response:
    """What a path gets that belongs to no part of the API: a line of text, no Status."""
    return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")


def from_error(error: StatusError) -> Response:
    """The `Status` of a failed request."""
    headers = dict(error.headers)
    if error.code == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return Response(error.code, msgspec.json.encode(error.status()) + b"\n", JSON, headers)
