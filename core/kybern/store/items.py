"""What the watch cache holds and tells: stored objects (`Item`) and their changes (`Event`).

An object travels as revision, bytes and Struct together. The bytes in the store carry no
resourceVersion; it is spliced in here, so that an object is encoded once per write and a watch
event is framed once however many watchers there are. Everything is made on first use: what no
HTTP client asks for is never spliced, what nobody filters is never decoded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import attrs

__all__ = ["Codec", "Event", "EventType", "Item", "bookmark", "splice"]

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

_METADATA = b'"metadata":{'
_LINE_START = {
    kind: b'{"type":"' + kind.encode() + b'","object":' for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
}
_INITIAL_END = b',"annotations":{"k8s.io/initial-events-end":"true"}'


@attrs.frozen(eq=False)
class Codec:
    """How one resource's objects become bytes and back. Encoding must put `metadata` before any user content."""

    api_version: str
    kind: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def splice(value: bytes, revision: int) -> bytes:
    """The encoded object with `metadata.resourceVersion` in it."""
    at = value.index(_METADATA) + len(_METADATA)
    comma = "" if value[at : at + 1] == b"}" else ","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, comma.encode(), value[at:])


class Item:
    """One object at one revision. Shared by everyone: read-only."""

    __slots__ = ("_codec", "_json", "_object", "key", "revision", "value")

    def __init__(self, key: str, revision: int, value: bytes, codec: Codec, obj: Any = None) -> None:
        self.key = key
        self.revision = revision
        self.value = value
        """The bytes as stored, without resourceVersion."""
        self._codec = codec
        self._object = obj
        self._json: bytes | None = None

    @property
    def object(self) -> Any:
        """The Struct, with its resourceVersion."""
        if self._object is None:
            obj = self._codec.decode(self.value)
            obj.metadata.resourceVersion = str(self.revision)
            self._object = obj
        return self._object

    @property
    def json(self) -> bytes:
        """The encoded object, with its resourceVersion."""
        if self._json is None:
            self._json = splice(self.value, self.revision)
        return self._json

    def at(self, revision: int) -> Item:
        """The same object under another revision: how a DELETED event shows the last state."""
        obj = None
        if self._object is not None:
            obj = copy.copy(self._object)
            obj.metadata = copy.copy(obj.metadata)
            obj.metadata.resourceVersion = str(revision)
        return Item(self.key, revision, self.value, self._codec, obj)

    def mutated(self) -> bool:
        """Whether somebody changed the shared Struct, which nobody may (a check for tests)."""
        if self._object is None:
            return False
        fresh = Item(self.key, self.revision, self.value, self._codec)
        return bool(fresh.object != self._object)

    def __repr__(self) -> str:
        return f"Item({self.key!r}, {self.revision})"


class Event:
    """One change as watchers see it."""

    __slots__ = ("_chunk", "_entering", "_forms", "_leaving", "_line", "item", "previous", "revision", "type")

    def __init__(self, type: EventType, item: Item, previous: Item | None, revision: int) -> None:
        self.type: EventType = type
        self.item = item
        """The new state; on DELETED the last state, under the revision of the deletion."""
        self.previous = previous
        self.revision = revision
        self._line: bytes | None = None
        self._chunk: bytes | None = None
        self._forms: dict[Any, Any] | None = None
        self._entering: Event | None = None
        self._leaving: Event | None = None

    @property
    def object(self) -> Any:
        """The Struct of `item`."""
        return self.item.object

    @property
    def line(self) -> bytes:
        """The event as a line of a JSON watch stream."""
        if self._line is None:
            self._line = b"%b%b}\n" % (_LINE_START[self.type], self.item.json)
        return self._line

    @property
    def chunk(self) -> bytes:
        """`line` framed as one chunk of an HTTP/1.1 body."""
        if self._chunk is None:
            line = self.line
            self._chunk = b"%x\r\n%b\r\n" % (len(line), line)
        return self._chunk

    @property
    def forms(self) -> dict[Any, Any]:
        """Other renderings of this event (tables, other versions), kept by whoever makes them first."""
        if self._forms is None:
            self._forms = {}
        return self._forms

    def selected(self, predicate: Callable[[Any], bool]) -> Event | None:
        """What a watcher with this predicate sees: an object that begins to match is added, one that
        ceases to match is deleted."""
        previous = self.previous
        before = previous is not None and predicate(previous.object)
        if self.type == "DELETED":
            return self if before else None
        if predicate(self.item.object):
            return self if before or self.type == "ADDED" else self._enter()
        return self._leave() if before else None

    def _enter(self) -> Event:
        if self._entering is None:
            self._entering = Event("ADDED", self.item, None, self.revision)
        return self._entering

    def _leave(self) -> Event:
        if self._leaving is None and self.previous is not None:
            self._leaving = Event("DELETED", self.previous.at(self.revision), self.previous, self.revision)
        assert self._leaving is not None
        return self._leaving

    def __repr__(self) -> str:
        return f"Event({self.type}, {self.item.key!r}, {self.revision})"


def bookmark(codec: Codec, revision: int, initial_end: bool = False) -> Event:
    """An event that only tells how far the watch has come."""
    value = b'{"kind":"%b","apiVersion":"%b","metadata":{"creationTimestamp":null%b}}' % (
        codec.kind.encode(),
        codec.api_version.encode(),
        _INITIAL_END if initial_end else b"",
    )
    return Event("BOOKMARK", Item("", revision, value, codec), None, revision)
