"""Paths into custom resources, as selectable fields and validation rules name them: `.spec.mode`."""

from __future__ import annotations

import re
from typing import Any

from kybern.api import cel

__all__ = ["resolve", "undefined_field"]

Schema = dict[str, Any]

_STEP = re.compile(r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_\-/]*)|\[(?P<quote>['"])(?P<key>[^'"]+)(?P=quote)\]""")
_TEXTS = re.compile(r"""r?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_CHAIN = re.compile(r"(?<![\w.])(?:self|oldSelf)((?:\.[A-Za-z_]\w*)+)(?P<call>\s*\()?")
METADATA: Schema = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}


def resolve(path: str, schema: Schema) -> tuple[str, Schema | None, str]:
    """(first step, schema of the field, what is wrong with the path)."""
    position, first, current = 0, "", schema
    while position < len(path):
        found = _STEP.match(path, position)
        if not found:
            return first, None, f"expected [ or . but got: {path[position:]}"
        name = found["name"] or found["key"]
        inner = (current.get("properties") or {}).get(name)
        if inner is None and isinstance(current.get("additionalProperties"), dict):
            inner = current["additionalProperties"]
        if inner is None:
            return first, None, "does not refer to a valid field"
        first, current, position = first or name, inner, found.end()
    return first, current, ""


def undefined_field(rule: str, schema: Schema, *, is_root: bool) -> str:
    """The compiler's complaint about a field of `self` that the schema does not have; empty when there is none.

    Rules are compiled with `self` of any type, so fields are looked up here.
    """
    masked = _TEXTS.sub(lambda text: " " * len(text[0]), rule)
    for chain in _CHAIN.finditer(masked):
        steps = chain[1].split(".")[1:]
        position, current = chain.start(1), schema
        for i, name in enumerate(steps):
            if i == len(steps) - 1 and chain["call"]:
                break
            properties = _fields(current, is_root and current is schema)
            if properties is None:
                break
            if name not in properties:
                return _located(rule, position, f"undefined field '{name}'")
            position, current = position + 1 + len(name), properties[name]
    return ""


def _fields(schema: Schema, is_root: bool) -> dict[str, Schema] | None:
    """The fields that a rule may name; None when that is not known here."""
    if schema.get("type") != "object" or schema.get("additionalProperties") is not None:
        return None
    properties = {_escape(name): inner for name, inner in (schema.get("properties") or {}).items()}
    if is_root or schema.get("x-kubernetes-embedded-resource"):
        return {"apiVersion": {}, "kind": {}, **properties, "metadata": METADATA}
    return properties


def _escape(name: str) -> str:
    """A property's name as rules write it: signs that CEL has not are spelled out."""
    if name in cel.KEYWORDS:
        return f"__{name}__"
    for plain, spelled in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(plain, spelled)
    return name


def _located(rule: str, position: int, message: str) -> str:
    line = rule.count("\n", 0, position) + 1
    start = rule.rfind("\n", 0, position) + 1
    text = rule[start:].split("\n", 1)[0]
    column = position - start
    return f"ERROR: <input>:{line}:{column + 1}: {message}\n | {text}\n | {'.' * column}^"
