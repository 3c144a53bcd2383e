"""JSON as it was written: keys that come twice are kept, and what is no JSON is refused in the words of Go's parser."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

__all__ = ["parse", "problem"]


def parse(data: bytes) -> Any:
    """Plain data; an object whose text had a key twice has `keys_in_text`. ValueError says why it is no JSON."""
    text = _without_lone_surrogates(data.decode("utf-8", "replace"))
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as e:
        raise ValueError(_syntax_error(e)) from None
    except RecursionError:
        raise ValueError("exceeded max depth") from None


def problem(data: bytes) -> str:
    """Why bytes, which another parser has refused, are no JSON."""
    try:
        parse(data)
    except ValueError as error:
        return str(error)
    return "invalid UTF-8 in string"


class _Pairs(dict[str, Any]):
    """An object whose text had keys twice: all its keys as they came."""

    keys_in_text: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Pairs:
    made = _Pairs(pairs)
    if len(made) != len(pairs):
        made.keys_in_text = tuple(key for key, _ in pairs)
    return made


def _no_constant(text: str) -> NoReturn:
    raise json.JSONDecodeError(f"invalid literal {text}", text, 0)


_ESCAPES = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def _without_lone_surrogates(text: str) -> str:
    """Half a character is no text: as in Go it becomes the replacement character."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _ESCAPES.sub(lambda found: "\\ufffd" if found["lone"] else found[0], text)


def _syntax_error(e: json.JSONDecodeError) -> str:
    """What Go's JSON parser says; the text after the position decides."""
    if e.pos >= len(e.doc.rstrip()):
        return "unexpected end of JSON input"
    found = e.doc[e.pos]
    shown = "'\\''" if found == "'" else f"'{found}'" if found.isprintable() else repr(found)
    if e.msg.startswith("Extra data"):
        return f"invalid character {shown} after top-level value"
    if "property name" in e.msg:
        return f"invalid character {shown} looking for beginning of object key string"
    if "delimiter: ':'" in e.msg or "':' delimiter" in e.msg:
        return f"invalid character {shown} after object key"
    if "',' delimiter" in e.msg:
        return f"invalid character {shown} after object key:value pair"
    return f"invalid character {shown} looking for beginning of value"
