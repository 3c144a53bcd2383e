"""What a world has come to, so that two worlds can be compared although chance and time differ between them.

Of each object everything counts but what is never twice the same: uids, revisions, times and generated names. Those are
replaced wherever they occur by what they stand for, so that a reference to the wrong object still makes a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kybern.api import types

__all__ = ["differences", "state"]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_GENERATED = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5}")
_LEFT_OUT = ("resourceVersion", "managedFields")


def state(objects: Iterable[Any], ignore: Sequence[str] = ()) -> list[str]:
    """A line of JSON per object, Events left out, in order. `ignore`: further field names that are never the same."""
    counted = [obj for obj in objects if obj.kind != "Event"]
    words = _Words(counted)
    return sorted(_line(types.to_plain(obj), words, {*_LEFT_OUT, *ignore}) for obj in counted)


def differences(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    """What is missing (-) and what is too much (+)."""
    spare, missing = list(found), []
    for line in wanted:
        if line in spare:
            spare.remove(line)
        else:
            missing.append(line)
    return sorted([f"- {line}" for line in missing] + [f"+ {line}" for line in spare], key=lambda line: line[2:])


class _Words:
    """What is said in place of uids, times and generated names."""

    def __init__(self, objects: Sequence[Any]) -> None:
        self._names = {o.metadata.name: f"{base}*" for o in objects if (base := _base(o.metadata))}
        self._uids = {o.metadata.uid: f"<{o.kind} {_UID.sub('*', self._text(o.metadata.name))}>" for o in objects}

    def text(self, text: str) -> str:
        return _TIME.sub("<time>", _UID.sub(lambda m: self._uids.get(m[0], "<uid of nobody>"), self._text(text)))

    def _text(self, text: str) -> str:
        if text in self._names:
            return self._names[text]
        for name, said in self._names.items():
            if name in text:
                text = text.replace(name, said)
        return text


def _base(metadata: Any) -> str:
    """The fixed part of a generated name; "" when it was not generated."""
    base = metadata.generateName or ""
    return base if base and metadata.name.startswith(base) and _GENERATED.fullmatch(metadata.name[len(base) :]) else ""


def _line(plain: dict[str, Any], words: _Words, left_out: set[str]) -> str:
    generation = plain["metadata"].pop("generation", None)
    status = plain.get("status")
    if isinstance(status, dict) and "observedGeneration" in status:
        status["observedGeneration"] = "newest" if status["observedGeneration"] == generation else "behind"
    return msgspec.json.encode(_said(plain, words, left_out)).decode()


def _said(value: Any, words: _Words, left_out: set[str]) -> Any:
    if isinstance(value, str):
        return words.text(value)
    if isinstance(value, dict):
        return {words.text(k): _said(v, words, left_out) for k, v in sorted(value.items()) if k not in left_out}
    if isinstance(value, list):
        # The order of a list often follows the order of generated names.
        return sorted((_said(v, words, left_out) for v in value), key=msgspec.json.encode)
    return value
