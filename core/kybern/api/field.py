"""Field paths and the errors that validation finds at them.

Words and reasons are those of a Kubernetes `Status`: every error names the field, what was wrong
and the value that was given. (API conventions, "Response Status Kind"; causes of reason `Invalid`.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["Errors", "FieldError", "Path", "go_quote", "go_value"]

KEPT = 32
"""Paths that a path remembers directly below itself."""


class Path:
    """Where in an object: `Path("spec").child("ports").index(0)` reads `spec.ports[0]`."""

    __slots__ = ("_below", "_parts")

    _parts: tuple[str, ...]

    def __init__(self, text: str = "") -> None:
        self._parts = (text,) if text else ()
        self._below: dict[str | int, Path] | None = None

    def child(self, name: str, *more: str) -> Path:
        """The path of a field below this one, or several levels below."""
        path = self._below.get(name) if self._below is not None else None
        if path is None:
            path = self._keep(name, "." + name if self._parts else name)
        return path.child(*more) if more else path

    def index(self, i: int) -> Path:
        """The path of a list item."""
        path = self._below.get(i) if self._below is not None else None
        return path if path is not None else self._keep(i, f"[{i}]")

    def _keep(self, step: str | int, text: str) -> Path:
        """Every write asks for the same few hundred paths, and hardly ever for their text."""
        path = self._with(text)
        if self._below is None:
            self._below = {}
        if len(self._below) < KEPT:
            self._below[step] = path
        return path

    def key(self, key: str) -> Path:
        """The path of a map entry."""
        return self._with(f"[{key}]")

    def _with(self, text: str) -> Path:
        path = Path()
        path._parts = (*self._parts, text)
        return path

    def __str__(self) -> str:
        return "".join(self._parts)

    def __repr__(self) -> str:
        return f"Path({str(self)!r})"


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one field. `reason` is the cause's reason in a Status."""

    reason: str
    field: str
    detail: str
    """The text of the cause, without the field: `Invalid value: "x": must be ...`."""

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


class Errors(list[FieldError]):
    """The errors found so far. Each method adds one, in upstream's words."""

    def _add(self, reason: str, path: Path | str, head: str, detail: str) -> None:
        self.append(FieldError(reason, str(path) or "<nil>", f"{head}: {detail}" if detail else head))

    def required(self, path: Path | str, detail: str = "") -> None:
        """The field must be given (FieldValueRequired)."""
        self._add("FieldValueRequired", path, "Required value", detail)

    def invalid(self, path: Path | str, value: Any, detail: str) -> None:
        """The value is malformed or out of range (FieldValueInvalid)."""
        self._add("FieldValueInvalid", path, f"Invalid value: {go_value(value)}", detail)

    def invalid_as_a_whole(self, path: Path | str, detail: str) -> None:
        """Invalid, and no single value is to blame (FieldValueInvalid)."""
        self._add("FieldValueInvalid", path, "Invalid value", detail)

    def type_invalid(self, path: Path | str, value: Any, detail: str) -> None:
        """The value is of the wrong type (FieldValueTypeInvalid)."""
        self._add("FieldValueTypeInvalid", path, f"Invalid value: {go_value(value)}", detail)

    def not_supported(self, path: Path | str, value: Any, supported: Iterable[str]) -> None:
        """The value is not one of a fixed set (FieldValueNotSupported). `supported` is shown in the given order."""
        names = ", ".join(go_quote(s) for s in supported)
        self._add(
            "FieldValueNotSupported",
            path,
            f"Unsupported value: {go_value(value)}",
            f"supported values: {names}" if names else "",
        )

    def duplicate(self, path: Path | str, value: Any) -> None:
        """The value occurs twice where it must be unique (FieldValueDuplicate)."""
        self._add("FieldValueDuplicate", path, f"Duplicate value: {go_value(value)}", "")

    def forbidden(self, path: Path | str, detail: str) -> None:
        """The field may not be set here, or not be changed (FieldValueForbidden)."""
        self._add("FieldValueForbidden", path, "Forbidden", detail)

    def too_long(self, path: Path | str, limit: int) -> None:
        """The text is longer than `limit` bytes (FieldValueTooLong)."""
        self._add("FieldValueTooLong", path, "Too long", f"may not be more than {limit} bytes")

    def too_many(self, path: Path | str, actual: int, limit: int) -> None:
        """The list has more than `limit` items (FieldValueTooMany)."""
        plural = "item" if limit == 1 else "items"
        self._add("FieldValueTooMany", path, f"Too many: {actual}", f"must have at most {limit} {plural}")

    def not_found(self, path: Path | str, value: Any) -> None:
        """The value names something that is not there (FieldValueNotFound)."""
        self._add("FieldValueNotFound", path, f"Not found: {go_value(value)}", "")

    def internal(self, path: Path | str, detail: str) -> None:
        """The server could not check the field (InternalError)."""
        self._add("InternalError", path, "Internal error", detail)


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\v": "\\v",
}


def go_quote(text: str) -> str:
    """The text in double quotes, as the API's error messages show strings."""
    out = []
    for c in text:
        if c in _ESCAPES:
            out.append(_ESCAPES[c])
        elif c.isprintable():
            out.append(c)
        elif ord(c) < 0x20 or ord(c) == 0x7F:
            out.append(f"\\x{ord(c):02x}")
        elif ord(c) < 0x10000:
            out.append(f"\\u{ord(c):04x}")
        else:
            out.append(f"\\U{ord(c):08x}")
    return '"' + "".join(out) + '"'


_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""What the API's JSON writer escapes inside strings besides."""


def go_value(value: Any) -> str:
    """A bad value as an error message shows it: strings quoted, the rest as JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return go_quote(value)
    if isinstance(value, int | float):
        return str(value)
    return msgspec.json.encode(value).decode().translate(_HTML)
