"""The v2 document as protobuf, the form that kubectl and Helm ask for: what they read of it.

That is the definitions, and which query parameters a PATCH of each kind takes. Field numbers are those of
gnostic's `openapi.v2` messages; a value that may be anything goes as YAML, which JSON is.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["document"]

_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_PATCH, _QUERY = 8, 3


def document(plain: dict[str, Any]) -> bytes:
    """A v2 document, given as plain data."""
    info = b"".join(_text(number, value) for number, value in enumerate(plain["info"].values(), 1))
    definitions = b"".join(_named(1, name, _schema(about)) for name, about in plain["definitions"].items())
    paths = b"".join(
        _named(2, path, _bytes(_PATCH, _operation(item["patch"])))
        for path, item in plain["paths"].items()
        if "patch" in item
    )
    return _text(1, plain["swagger"]) + _bytes(2, info) + _bytes(8, paths) + _bytes(9, definitions)


def _schema(about: dict[str, Any]) -> bytes:
    found = [_text(number, about[name]) for name, number in _TEXTS.items() if about.get(name)]
    if "default" in about:
        found.append(_bytes(5, _anything(about["default"])))
    found += [_text(19, name) for name in about.get("required", ())]
    found += [_bytes(20, _anything(value)) for value in about.get("enum", ())]
    more = about.get("additionalProperties")
    if more is not None:
        found.append(_bytes(21, b"\x10\x01" if more is True else _bytes(1, _schema(more))))
    if kind := about.get("type"):
        found.append(_bytes(22, _text(1, kind)))
    if "items" in about:
        found.append(_bytes(23, _bytes(1, _schema(about["items"]))))
    found += [_bytes(24, _schema(part)) for part in about.get("allOf", ())]
    if properties := about.get("properties"):
        found.append(_bytes(25, b"".join(_named(1, name, _schema(below)) for name, below in properties.items())))
    return b"".join(found) + _extensions(31, about)


def _operation(about: dict[str, Any]) -> bytes:
    parameters = (_parameter(p) for p in about.get("parameters", ()) if p.get("in") == "query")
    return _text(5, about["operationId"]) + b"".join(parameters) + _extensions(13, about)


def _parameter(about: dict[str, Any]) -> bytes:
    query = _text(2, "query") + _text(3, about.get("description", "")) + _text(4, about["name"])
    return _bytes(8, _bytes(1, _bytes(2, _bytes(_QUERY, query + _text(6, about.get("type", ""))))))


def _extensions(number: int, about: dict[str, Any]) -> bytes:
    own = ((name, value) for name, value in about.items() if name.startswith("x-"))
    return b"".join(_named(number, name, _anything(value)) for name, value in own)


def _anything(value: Any) -> bytes:
    return _bytes(2, msgspec.json.encode(value))


def _named(number: int, name: str, value: bytes) -> bytes:
    return _bytes(number, _text(1, name) + _bytes(2, value))


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode()) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    pieces = bytearray()
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*pieces, value))
