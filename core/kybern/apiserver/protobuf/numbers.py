"""Which field a number means: read from `fields.txt`, beside this file.

A line of that file is a message and its fields in the order of their numbers; `name=7` says the
number where it is not one more than the last. `@Message` is a message whose fields JSON shows as
the outer one's own.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["Inline", "numbers"]

_META = "meta/v1"


class Inline(str):
    """The definition of a message that JSON shows as part of the outer one."""

    __slots__ = ()


def _definition(section: str, message: str) -> str:
    if section == _META:
        return f"io.k8s.apimachinery.pkg.apis.meta.v1.{message}"
    return f"io.k8s.api.{section.replace('/', '.')}.{message}"


@cache
def _table() -> dict[str, tuple[str, str]]:
    """definition -> (its section, its fields as text)."""
    found: dict[str, tuple[str, str]] = {}
    section = ""
    for line in (Path(__file__).parent / "fields.txt").read_text().splitlines():
        if line.startswith("["):
            section = line[1:-1]
        else:
            message, _, rest = line.partition(":")
            found[_definition(section, message)] = (section, rest)
    return found


@cache
def numbers(definition: str) -> dict[int, str | Inline] | None:
    """Field number -> JSON name, or the definition of an inlined message; None for what has no protobuf form."""
    found = _table().get(definition)
    if found is None:
        return None
    section, text = found
    fields: dict[int, str | Inline] = {}
    last = 0
    for word in text.split():
        name, _, number = word.partition("=")
        last = int(number) if number else last + 1
        fields[last] = Inline(_definition(section, name[1:])) if name.startswith("@") else name
    return fields
