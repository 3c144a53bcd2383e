"""Sets of fields, as `metadata.managedFields` records who set what (KEP-555, server-side apply).

A set is a tree. A node is a field, a list item by its keys, or a value of a set-like list; its
`member` flag says whether the node itself belongs to the set, its children what lies below it.
Node names are those of `fieldsV1`: `f:name`, `k:{"name":"a"}`, `v:"x"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["FieldSet", "shown"]


class FieldSet:
    """A node and everything below it; the root stands for the whole object."""

    __slots__ = ("children", "member")

    def __init__(self, member: bool = False, children: dict[str, FieldSet] | None = None) -> None:
        self.member = member
        self.children = children if children is not None else {}

    def __bool__(self) -> bool:
        return self.member or any(self.children.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.fields_v1() == other.fields_v1()

    __hash__ = None  # type: ignore[assignment]  # changes as it is built

    def child(self, name: str) -> FieldSet:
        """The node of that name, made when there is none."""
        return self.children.setdefault(name, FieldSet())

    def union(self, other: FieldSet) -> FieldSet:
        """What is in either."""
        names = [*self.children, *(n for n in other.children if n not in self.children)]
        none = FieldSet()
        children = {n: self.children.get(n, none).union(other.children.get(n, none)) for n in names}
        return FieldSet(self.member or other.member, children)

    def minus(self, other: FieldSet) -> FieldSet:
        """What is in this one and not in the other, each path for itself."""
        kept = {}
        for name, node in self.children.items():
            theirs = other.children.get(name)
            left = node if theirs is None else node.minus(theirs)
            if left:
                kept[name] = left
        return FieldSet(self.member and not other.member, kept)

    def common(self, other: FieldSet) -> FieldSet:
        """What is in both."""
        both = {n: node.common(other.children[n]) for n, node in self.children.items() if n in other.children}
        return FieldSet(self.member and other.member, {n: node for n, node in both.items() if node})

    def without(self, *path: str) -> FieldSet:
        """The set without everything at and below a path."""
        first, *rest = path
        if first not in self.children:
            return self
        children = dict(self.children)
        node = children.pop(first)
        if rest and (left := node.without(*rest)):
            children[first] = left
        return FieldSet(self.member, children)

    def paths(self, prefix: str = "") -> Iterator[str]:
        """The members as upstream writes them in messages: `.spec.containers[name="c"].image`."""
        if self.member:
            yield prefix
        for name, node in self.children.items():
            yield from node.paths(prefix + shown(name))

    def fields_v1(self) -> dict[str, Any]:
        """The set as `fieldsV1` of a managedFields entry."""
        found: dict[str, Any] = {"." if self.member else "": {}} if self.member and self.children else {}
        for name, node in sorted(self.children.items()):
            if node:
                found[name] = node.fields_v1()
        return found

    @classmethod
    def from_fields_v1(cls, data: Any, member: bool = False) -> FieldSet:
        """The set that an entry's `fieldsV1` stands for; what it is not is left out."""
        if not isinstance(data, dict):
            return cls(member)
        children = {name: cls.from_fields_v1(below, _is_member(below)) for name, below in data.items() if name != "."}
        return cls(member, children)


def _is_member(below: Any) -> bool:
    return not below or (isinstance(below, dict) and "." in below)


def shown(name: str) -> str:
    """A node's name as it is written in messages."""
    kind, _, rest = name.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    keys = msgspec.json.decode(rest)
    return "[" + ",".join(f"{k}={msgspec.json.encode(keys[k]).decode()}" for k in sorted(keys)) + "]"
