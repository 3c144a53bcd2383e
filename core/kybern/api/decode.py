"""What users send, made into objects, with upstream's words for all that is wrong with it.

Good input takes the fast path: one typed decode. Anything that path refuses is read again by
walking the schema, which finds every unknown and duplicate field and words type errors as Go does
(docs: "Server Side Field Validation").
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NoReturn, TypeVar

import msgspec

from kybern.api import json_text, quantity, schema, types
from kybern.api.errors import StatusError
from kybern.api.field import go_quote
from kybern.api.gotypes import embedded, type_name
from kybern.api.kind import Kind
from kybern.api.schema import Definition, Field, Type
from kybern.api.time import parse_time

T = TypeVar("T")

__all__ = ["lenient", "read", "strict_error", "unrecognized"]

_SCHEMES = {
    "apiextensions.k8s.io": "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55",
    "apiregistration.k8s.io": "k8s.io/kube-aggregator/pkg/apiserver/scheme/scheme.go:28",
}
_LEGACY_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
"""Where upstream's three servers register their types; part of an error text."""
_SNIPPET = 30
_DEEPEST = 500
_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"


def read(
    target: Kind | type[Any], data: bytes | dict[str, Any], *, strict: bool, encoded: bool = False
) -> tuple[Any, list[str]]:
    """JSON bytes or plain data -> (object, problems).

    Problems are unknown and duplicate fields, found when `strict`; whether they are errors or warnings
    is the caller's business (`strict_error`). `encoded`: we made the bytes ourselves, from data that cannot name
    a field twice. Raises StatusError 400 for what is no such object.
    """
    cls = target.struct if isinstance(target, Kind) else target
    try:
        obj = types.decode_exact(cls, data) if isinstance(data, bytes) else msgspec.convert(data, cls)
        types.normalize(obj)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _read_slowly(cls, data, strict)
    doubtful = strict and not encoded
    if _is_other_kind(cls, obj) or (doubtful and isinstance(data, bytes) and _may_have_duplicates(data)):
        return _read_slowly(cls, data, strict)
    return obj, []


def strict_error(cls: type[Any], problems: list[str]) -> StatusError:
    """400 for problems that the client wanted to be errors (`fieldValidation=Strict`)."""
    return StatusError.bad_request(f"{_cannot_be_handled(cls)}: strict decoding error: {', '.join(problems)}")


def lenient(cls: type[T], data: bytes | Any) -> T:
    """Bytes or plain data of another version of the schema -> object without what we do not know."""
    obj: T = _read_slowly(cls, data, False)[0]
    return obj


def _cannot_be_handled(cls: type[Any]) -> str:
    d = types.definition_of(cls)
    return f'{d.short} in version "{d.version}" cannot be handled as a {d.short}'


def _is_other_kind(cls: type[Any], obj: Any) -> bool:
    gvks = types.definition_of(cls).group_version_kinds
    if not gvks:
        return False
    group, version, kind = gvks[0]
    return bool(obj.kind != kind or obj.apiVersion != (f"{group}/{version}" if group else version))


def _may_have_duplicates(data: bytes) -> bool:
    """Whether decoding lost a key: a generic round trip then has fewer quotes. Escapes could hide that: look closer."""
    if b"\\" in data:
        return True
    return msgspec.json.encode(msgspec.json.decode(data)).count(b'"') != data.count(b'"')


def _parse(cls: type[Any], data: bytes) -> Any:
    try:
        return json_text.parse(data)
    except ValueError as error:
        _unrecognized(cls, str(error), data)


def _unrecognized(cls: type[Any], why: str, data: bytes) -> NoReturn:
    raise unrecognized(cls.__name__, f"couldn't get version/kind; json parse error: {why}", data)


def unrecognized(kind: str, why: str, data: bytes) -> StatusError:
    """400 for a body of which not even the kind can be read; it says how the body begins."""
    start = data[:_SNIPPET]
    text = start.decode("utf-8", "replace") if data[:1] == b"{" else start.hex()
    text = text + " ..." if len(data) > _SNIPPET else text or "<empty>"
    return StatusError.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({text})")


_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


def _read_slowly(cls: type[Any], data: bytes | Any, strict: bool) -> tuple[Any, list[str]]:
    raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
    plain = _parse(cls, raw)
    d = types.definition_of(cls)
    if d.group_version_kinds:
        _check_kind(cls, d, plain, raw)
    reader = _Reader(strict)
    clean = reader.struct(d, plain if plain is not None else {}, "")
    if reader.error:
        raise StatusError.bad_request(f"{_cannot_be_handled(cls)}: {reader.error}")
    try:
        obj = msgspec.convert(clean, cls)
        types.normalize(obj)
    except (msgspec.ValidationError, ValueError) as e:
        raise StatusError.bad_request(f"{_cannot_be_handled(cls)}: {e}") from None
    return obj, reader.problems


def _check_kind(cls: type[Any], d: Definition, plain: Any, raw: bytes) -> None:
    """The body's apiVersion and kind, where given, must be those of the path."""
    if plain is None:
        return
    if not isinstance(plain, dict):
        _unrecognized(cls, f"json: cannot unmarshal {_json_kind(plain)} into Go value of type {_TYPE_META}", raw)
    for name in ("apiVersion", "kind"):
        value = plain.get(name)
        if value is not None and not isinstance(value, str):
            _unrecognized(
                cls, f"json: cannot unmarshal {_json_kind(value)} into Go struct field .{name} of type string", raw
            )
    group, version, kind = d.group_version_kinds[0]
    ours = f"{group}/{version}" if group else version
    given, given_kind = plain.get("apiVersion") or ours, plain.get("kind") or kind
    if (given, given_kind) == (ours, kind) or (group, version) == ("meta", "v1"):
        return
    if any(g[2] == given_kind and given == (f"{g[0]}/{g[1]}" if g[0] else g[1]) for g in d.group_version_kinds):
        return
    given_group, _, given_version = given.rpartition("/")
    head = f'{given_kind} in version "{given_version}" cannot be handled as a {kind}'
    if schema.find(given_group, given_version, given_kind) is None:
        scheme = _SCHEMES.get(group, _LEGACY_SCHEME)
        raise StatusError.bad_request(
            f'{head}: no kind "{given_kind}" is registered for version "{given}" in scheme "{scheme}"'
        )
    if given_kind == kind:
        raise StatusError.bad_request(
            f"the API version in the data ({given}) does not match the expected API version ({ours})"
        )
    hub = group.split(".")[0] or "core"
    raise StatusError.bad_request(
        f"{head}: converting ({given_version}.{given_kind}) to ({hub}.{kind}): unknown conversion"
    )


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


class _Reader:
    """Walks a body along the schema: keeps what is known and well typed, remembers what is not."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.problems: list[str] = []
        self.error = ""
        """The first error, in the order of the text, as Go reports it."""
        self._stack: list[str] = []

    def _fail(self, message: str) -> None:
        self.error = self.error or message

    def _mismatch(
        self, d: Definition, field: Field, type_: Type, value: Any, *, literal: bool = False, go_type: str = ""
    ) -> None:
        what = _json_kind(value) + (f" {_number_text(value)}" if literal else "")
        where = ".".join(self._stack)
        go_type = go_type or type_name(d, field, type_)
        self._fail(f"json: cannot unmarshal {what} into Go struct field {d.short}.{where} of type {go_type}")

    def struct(self, d: Definition, data: dict[str, Any], path: str) -> dict[str, Any]:
        """The known fields of an object."""
        if len(self._stack) > _DEEPEST:
            self._fail("exceeded max depth")
            return {}
        clean: dict[str, Any] = {}
        done: set[str] = set()
        for key in getattr(data, "keys_in_text", ()) or data:
            field, again = d.fields.get(key), key in done
            done.add(key)
            if field is None or again:
                # What is both unknown and there twice is told as unknown.
                if self.strict and not (field is None and again):
                    self.problems.append(f'{"unknown" if field is None else "duplicate"} field "{path}{key}"')
                continue
            value = data[key]
            through = (*embedded(d, key), key)
            self._stack.extend(through)
            if value is not None or field.type.kind in ("quantity", "any"):
                clean[key] = self._value(d, field, field.type, value, f"{path}{key}")
            del self._stack[-len(through) :]
        return clean

    def _value(self, d: Definition, field: Field, type_: Type, value: Any, path: str) -> Any:
        match type_.kind:
            case "any":
                return value
            case "struct":
                if isinstance(value, dict):
                    return self.struct(schema.definition(type_.ref), value, path + ".")
                if value is not None:
                    self._mismatch(d, field, type_, value)
                return {}
            case "list":
                return self._list(d, field, type_, value, path)
            case "map":
                return self._map(d, field, type_, value, path)
            case _:
                return self._scalar(d, field, type_, value)

    def _list(self, d: Definition, field: Field, type_: Type, value: Any, path: str) -> Any:
        assert type_.item is not None
        if value is None:
            return None
        if not isinstance(value, list):
            self._mismatch(d, field, type_, value)
            return []
        return [self._value(d, field, type_.item, item, f"{path}[{i}]") for i, item in enumerate(value)]

    def _map(self, d: Definition, field: Field, type_: Type, value: Any, path: str) -> Any:
        assert type_.item is not None
        if value is None:
            return None
        if not isinstance(value, dict):
            self._mismatch(d, field, type_, value)
            return {}
        if self.strict and (keys := getattr(value, "keys_in_text", ())):
            self.problems += [f'duplicate field "{path}.{key}"' for i, key in enumerate(keys) if key in keys[:i]]
        return {key: self._value(d, field, type_.item, item, f"{path}.{key}") for key, item in value.items()}

    def _scalar(self, d: Definition, field: Field, type_: Type, value: Any) -> Any:
        match type_.kind:
            case "string":
                return self._text(d, field, type_, value)
            case "int32" | "int64":
                return self._integer(d, field, type_, value)
            case "boolean":
                if value is None or isinstance(value, bool):
                    return bool(value)
                self._mismatch(d, field, type_, value)
                return False
            case "double":
                if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
                    return float(value or 0)
                self._mismatch(d, field, type_, value)
                return 0.0
            case "quantity":
                return self._quantity(value)
            case "int-or-string":
                return self._int_or_string(d, field, type_, value)
            case "bytes":
                return self._bytes(d, field, type_, value)
            case _:
                return self._time(d, field, type_, value)

    def _text(self, d: Definition, field: Field, type_: Type, value: Any) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        self._mismatch(d, field, type_, value)
        return ""

    def _integer(self, d: Definition, field: Field, type_: Type, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._mismatch(d, field, type_, value)
            return 0
        bits = 31 if type_.kind == "int32" else 63
        if isinstance(value, float) or not -(2**bits) <= value < 2**bits:
            self._mismatch(d, field, type_, value, literal=True)
            return 0
        return value

    def _quantity(self, value: Any) -> str:
        if value is None:
            return "0"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._fail(quantity.FORMAT_MESSAGE)
            return "0"
        try:
            return quantity.canonical(value.strip() if isinstance(value, str) else value)
        except ValueError as e:
            self._fail(str(e))
            return "0"

    def _int_or_string(self, d: Definition, field: Field, type_: Type, value: Any) -> int | str:
        if value is None or isinstance(value, str):
            return value or 0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(value, int) and number and -(2**31) <= value < 2**31:
            return value
        self._mismatch(d, field, type_, value, literal=number, go_type="int32")
        return 0

    def _bytes(self, d: Definition, field: Field, type_: Type, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, list) and value:
            self._mismatch(d, field, type_, value[0], go_type="uint8")
            return ""
        if not isinstance(value, str):
            self._mismatch(d, field, type_, value)
            return ""
        text = value.replace("\r", "").replace("\n", "")
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            self._fail(f"illegal base64 data at input byte {_bad_base64_at(text)}")
            return ""
        return text

    def _time(self, d: Definition, field: Field, type_: Type, value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            self._mismatch(d, field, type_, value, go_type="string")
            return None
        layout = _LAYOUT if type_.kind == "time" else _MICRO_LAYOUT
        try:
            parse_time(value)
        except ValueError:
            self._fail(f"parsing time {go_quote(value)} as {go_quote(layout)}: {_time_complaint(value)}")
            return None
        return value


def _number_text(value: float) -> str:
    text = repr(value)
    return text[:-2] if text.endswith(".0") and "e" not in text else text


def _bad_base64_at(text: str) -> int:
    found = re.search(r"[^A-Za-z0-9+/]", text)
    return found.start() if found else len(text) - len(text) % 4


_LAYOUT_PARTS = (
    (r"\d{4}", "2006"), (r"-", "-"), (r"\d\d", "01"), (r"-", "-"), (r"\d\d", "02"), (r"T", "T"), (r"\d\d", "15"),
    (r":", ":"), (r"\d\d", "04"), (r":", ":"), (r"\d\d", "05"), (r"(?:[.,]\d+)?", ""), (r"Z|[+-]\d\d:\d\d", "Z07:00"),
)  # fmt: skip


def _time_complaint(text: str) -> str:
    """Where Go's parser stops."""
    at = 0
    for pattern, part in _LAYOUT_PARTS:
        found = re.compile(pattern).match(text, at)
        if not found:
            return f"cannot parse {go_quote(text[at:])} as {go_quote(part)}"
        at = found.end()
    return f"extra text: {go_quote(text[at:])}" if at < len(text) else "out of range"
