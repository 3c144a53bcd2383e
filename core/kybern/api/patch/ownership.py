"""What server-side apply does with values: which fields an object has, how two differ, how an applied one merges.

Pure functions of plain data and an `ObjectType`, which says how lists and maps behave: a granular
map is the sum of its entries, an associative list the sum of its items by key, a set-like list the
sum of its values; everything else is one value. (KEP-555; sigs.k8s.io/structured-merge-diff.)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from kybern.api import schema
from kybern.api.patch.fieldset import FieldSet, shown
from kybern.api.schema import Field, Type

__all__ = ["ObjectType", "changed", "fields_of", "merged", "misfits", "object_type", "removed"]

_KEY_DEFAULTS = {"protocol": "TCP"}
"""Keys that a list item may leave out (ports)."""


class ObjectType:
    """How a value behaves. `kind`: map (granular, struct or not), list (associative), set, or atom."""

    __slots__ = ("_definition", "item", "keys", "kind")

    def __init__(self, kind: str, definition: str = "", item: Type | None = None, keys: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._definition = definition
        self.item = item
        self.keys = keys

    def field(self, name: str) -> ObjectType:
        """The type of an entry."""
        if self._definition:
            found = schema.definition(self._definition).fields.get(name)
            return _of_field(found) if found is not None else _FREE
        return _of_type(self.item) if self.item is not None else _FREE

    def declares(self, name: str) -> bool:
        """Whether there can be such an entry."""
        return not self._definition or name in schema.definition(self._definition).fields

    def element(self) -> ObjectType:
        """The type of a list's items."""
        return _of_type(self.item) if self.item is not None else _FREE


_ATOM = ObjectType("atom")
_FREE = ObjectType("free")
"""Untyped data: objects are granular, lists are atoms."""


@cache
def object_type(definition: str) -> ObjectType:
    """The type of a definition's objects."""
    return ObjectType("atom" if schema.definition(definition).map_type == "atomic" else "map", definition)


@cache
def _of_type(type_: Type) -> ObjectType:
    if type_.kind == "struct":
        return object_type(type_.ref)
    if type_.kind == "map":
        return ObjectType("map", item=type_.item)
    return _FREE if type_.kind == "any" else _ATOM


@cache
def _of_field(field: Field) -> ObjectType:
    if field.type.kind == "list":
        if field.list_type == "map" and field.list_keys:
            return ObjectType("list", item=field.type.item, keys=field.list_keys)
        return ObjectType("set") if field.list_type == "set" else _ATOM
    if field.map_type == "atomic":
        return _ATOM
    return _of_type(field.type)


def _children(value: Any, type_: ObjectType) -> dict[str, Any] | None:
    """What a value is the sum of, by node name; None for an atom."""
    if isinstance(value, dict) and type_.kind in ("map", "free"):
        return {"f:" + name: below for name, below in value.items()}
    if isinstance(value, list) and type_.kind == "list" and all(isinstance(item, dict) for item in value):
        return {_item_name(item, type_.keys): item for item in value}
    if isinstance(value, list) and type_.kind == "set":
        return {"v:" + msgspec.json.encode(item).decode(): item for item in value}
    return None


def _item_name(item: dict[str, Any], keys: tuple[str, ...]) -> str:
    named = {k: item.get(k, _KEY_DEFAULTS.get(k)) for k in keys}
    return "k:" + msgspec.json.encode({k: v for k, v in sorted(named.items()) if v is not None}).decode()


def misfits(value: Any, type_: ObjectType, path: str = "") -> Iterator[str]:
    """What keeps a value from being of its type at all: unknown fields, list items without or with the same key."""
    if isinstance(value, dict):
        for name, below in value.items():
            if not type_.declares(name):
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from misfits(below, type_.field(name), f"{path}.{name}")
    elif isinstance(value, list) and type_.kind == "list":
        yield from _item_misfits(value, type_, path)


def _item_misfits(items: list[Any], type_: ObjectType, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            continue
        missing = next((k for k in type_.keys if k not in item and k not in _KEY_DEFAULTS), None)
        if missing is not None:
            why = f'an element that omits key field "{missing}" (and doesn\'t have default value)'
            yield f"{path}: element {i}: associative list with keys has {why}"
            continue
        name = _item_name(item, type_.keys)
        if name in seen:
            yield f"{path}: duplicate entries for key {shown(name)}"
        seen.add(name)
        yield from misfits(item, type_.element(), path + shown(name))


def _below(type_: ObjectType, name: str) -> ObjectType:
    return type_.field(name[2:]) if name.startswith("f:") else type_.element()


def fields_of(value: Any, type_: ObjectType, *, whole: bool = False) -> FieldSet:
    """Every field that is set; items of associative lists count themselves too, with `whole` so does everything
    that has fields below it."""
    children = _children(value, type_)
    if not children:
        return FieldSet(member=True)
    found = FieldSet(member=whole)
    for name, below in children.items():
        node = fields_of(below, _below(type_, name), whole=whole) if name[0] != "v" else FieldSet()
        node.member = node.member or name[0] != "f"
        found.children[name] = node
    return found


def changed(old: Any, new: Any, type_: ObjectType) -> FieldSet:
    """Fields of `new` that `old` has not, or has otherwise."""
    if old == new:
        return FieldSet()
    before, after = _children(old, type_), _children(new, type_)
    if before is None or not after:
        found = fields_of(new, type_, whole=True)
        return FieldSet(not found.children, found.children)
    found = FieldSet()
    for name, value in after.items():
        if name[0] == "v":
            node = FieldSet(name not in before)
        elif name in before:
            node = changed(before[name], value, _below(type_, name))
        else:
            node = fields_of(value, _below(type_, name), whole=True)
        if node:
            found.children[name] = node
    return found


def merged(live: Any, applied: Any, type_: ObjectType) -> Any:
    """The live value with the applied one put into it."""
    if isinstance(live, dict) and isinstance(applied, dict) and type_.kind in ("map", "free"):
        result = dict(live)
        for name, value in applied.items():
            result[name] = merged(live[name], value, type_.field(name)) if name in live else value
        return result
    before, after = _children(live, type_), _children(applied, type_)
    if before is None or after is None:
        return applied
    element = type_.element()
    both = {n: merged(v, after[n], element) if n in after and n[0] == "k" else v for n, v in before.items()}
    return list((both | {n: v for n, v in after.items() if n not in before}).values())


def removed(value: Any, gone: FieldSet, kept: FieldSet, type_: ObjectType) -> Any:
    """The value without the fields in `gone`; what lies in `kept` belongs to somebody else and stays."""
    children = _children(value, type_)
    if children is None:
        return value
    left: dict[str, Any] = {}
    for name, below in children.items():
        node, theirs = gone.children.get(name), kept.children.get(name)
        if node is None:
            left[name] = below
        elif not node.member or theirs:
            left[name] = removed(below, node, theirs or FieldSet(), _below(type_, name))
        elif node.children and name[0] == "f":
            left[name] = removed(below, node, FieldSet(), _below(type_, name))
    if isinstance(value, list):
        return list(left.values())
    return {name[2:]: below for name, below in left.items()}
