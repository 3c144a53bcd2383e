"""What API servers send, from bytes to objects: lists, watch lines, Status errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.interface import Event, ObjectList

K = TypeVar("K")

__all__ = ["Lines", "read_event", "read_list", "status_error"]


class _ListMeta(msgspec.Struct):
    resourceVersion: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remainingItemCount: int | None = None


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Frame(msgspec.Struct):
    type: str
    object: msgspec.Raw


_list_decoder = msgspec.json.Decoder(_List)
_frame_decoder = msgspec.json.Decoder(_Frame)


class Lines:
    """Cuts a byte stream into its lines; a line may come in any number of pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that are complete with this chunk, without their ends."""
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            if self._pieces:
                self._pieces.append(line)
                line = b"".join(self._pieces)
                self._pieces.clear()
            if line.strip():
                yield line
        if rest:
            self._pieces.append(rest)


def read_list(kind: type[K], body: bytes) -> ObjectList[K]:
    """A list answer. Items of a list carry no kind of their own; the Struct class supplies it."""
    try:
        listed = _list_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise _not_understood(error) from None
    return ObjectList(
        items=[types.decode(kind, bytes(item)) for item in listed.items or ()],
        resource_version=listed.metadata.resourceVersion,
        continue_=listed.metadata.continue_,
        remaining=listed.metadata.remainingItemCount,
    )


def read_event(kind: type[K], line: bytes) -> Event[K]:
    """One line of a watch; an ERROR event is raised."""
    try:
        frame = _frame_decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise _not_understood(error) from None
    if frame.type == "ERROR":
        raise status_error(500, bytes(frame.object))
    return Event(cast(Any, frame.type), types.decode(kind, bytes(frame.object)))


def status_error(code: int, body: bytes) -> StatusError:
    """The exception for an answer with an error code, whether or not its body is a Status."""
    try:
        status = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return StatusError.from_status(status, code)
    text = body.decode(errors="replace").strip() or "no further details"
    return StatusError(code, _REASONS.get(code, ""), f"the server answered {code}: {text[:1000]}")


def unavailable(what: object) -> StatusError:
    """The server could not be reached, or the connection broke."""
    return StatusError(503, "ServiceUnavailable", f"the server is currently unable to handle the request: {what}")


def _not_understood(error: Exception) -> StatusError:
    return StatusError(500, "InternalError", f"the server's answer could not be read: {error}")


_REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    409: "Conflict", 410: "Expired", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError",
    503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip
