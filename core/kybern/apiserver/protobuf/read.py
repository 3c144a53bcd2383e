"""A protobuf body as the plain data that the same object's JSON would give."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kybern.api import schema, types
from kybern.api.kind import Kind
from kybern.api.schema import Type
from kybern.apiserver.protobuf.numbers import Inline, numbers
from kybern.apiserver.protobuf.wire import Malformed, fields, signed

__all__ = ["MAGIC", "Malformed", "plain_object"]

MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEEPEST = 100


def plain_object(data: bytes, target: Kind | type[Any]) -> dict[str, Any] | None:
    """The object in a body; None when its kind has no protobuf form. Raises Malformed."""
    if not data.startswith(MAGIC):
        raise Malformed("the body does not begin as a Kubernetes protobuf message")
    envelope = dict(fields(data[len(MAGIC) :]))
    definition = types.definition_of(target.struct if isinstance(target, Kind) else target).name
    if numbers(definition) is None:
        return None
    about = dict(fields(_bytes(envelope.get(1, b""))))
    made = _message(definition, _bytes(envelope.get(2, b"")), 0)
    for number, name in ((1, "apiVersion"), (2, "kind")):
        if text := _text(about.get(number, b"")):
            made[name] = text
    return made


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed("proto: wrong wireType = 0")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise Malformed("proto: invalid UTF-8 in a string") from None


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise Malformed("proto: wrong wireType = 2")
    return signed(value)


def _message(definition: str, data: bytes, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    _fill(made, definition, definition, data, depth)
    return made


def _fill(made: dict[str, Any], outer: str, message: str, data: bytes, depth: int) -> None:
    """Read a message's fields into an object; inlined messages fill the same object."""
    if depth > _DEEPEST:
        raise Malformed("exceeded max depth")
    known = numbers(message) or {}
    described = schema.definition(outer).fields
    for number, value in fields(data):
        name = known.get(number)
        if name is None:
            continue
        if isinstance(name, Inline):
            _fill(made, outer, name, _bytes(value), depth + 1)
        elif name in described:
            _add(made, name, described[name].type, value, depth)


def _add(made: dict[str, Any], name: str, type_: Type, value: int | bytes, depth: int) -> None:
    if type_.kind == "list":
        item = type_.item or Type("any")
        made.setdefault(name, []).append(_value(item, value, depth + 1))
    elif type_.kind == "map":
        entry = dict(fields(_bytes(value)))
        item = type_.item or Type("any")
        absent: int | bytes = 0 if item.kind in ("int32", "int64", "boolean") else b""
        made.setdefault(name, {})[_text(entry.get(1, b""))] = _value(item, entry.get(2, absent), depth + 1)
    else:
        made[name] = _value(type_, value, depth + 1)


def _value(type_: Type, value: int | bytes, depth: int) -> Any:
    if type_.kind == "struct":
        return _message(type_.ref, _bytes(value), depth)
    if type_.kind == "list":
        # A list as the value of a map is wrapped in a message of one repeated field.
        item = type_.item or Type("any")
        return [_value(item, each, depth + 1) for number, each in fields(_bytes(value)) if number == 1]
    return _SCALARS[type_.kind](value)


def _double(value: int | bytes) -> float:
    raw = _bytes(value)
    if len(raw) != 8:
        raise Malformed("proto: wrong size of a double")
    return float(struct.unpack("<d", raw)[0])


def _wrapped_text(value: int | bytes) -> str:
    """A Quantity: a message of one string."""
    return _text(dict(fields(_bytes(value))).get(1, b""))


def _int_or_string(value: int | bytes) -> int | str:
    parts = dict(fields(_bytes(value)))
    if parts.get(1, 0):
        return _text(parts.get(3, b""))
    return _number(parts.get(2, 0))


def _moment(value: int | bytes) -> datetime | None:
    parts = dict(fields(_bytes(value)))
    if not parts:
        return None
    try:
        return _EPOCH + timedelta(seconds=_number(parts.get(1, 0)), microseconds=_number(parts.get(2, 0)) // 1000)
    except OverflowError:
        raise Malformed("proto: a time is out of range") from None


def _time(value: int | bytes) -> str | None:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _micro_time(value: int | bytes) -> str | None:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _raw_json(value: int | bytes) -> Any:
    """RawExtension, FieldsV1 and the like: a message of one field that holds JSON."""
    raw = _bytes(dict(fields(_bytes(value))).get(1, b""))
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("a raw object is no JSON") from None


_SCALARS: dict[str, Callable[[int | bytes], Any]] = {
    "string": _text,
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "time": _time,
    "micro-time": _micro_time,
    "int32": _number,
    "int64": _number,
    "boolean": lambda value: bool(_number(value)),
    "double": _double,
    "quantity": _wrapped_text,
    "int-or-string": _int_or_string,
    "any": _raw_json,
}
