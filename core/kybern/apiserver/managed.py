"""Who manages which fields: `metadata.managedFields`.

An object gets entries when a client that names itself (`fieldManager`, as kubectl does) creates it, or with its first
server-side apply; from then on every writer's share is kept. Who creates objects by the thousand and has no name for
itself pays nothing, unless the server is told to keep books about everybody; the writers of such an object are known
as `before-first-apply` once somebody applies it, as upstream does for objects without entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.patch.fieldset import FieldSet
from kybern.api.patch.ownership import ObjectType, changed, fields_of
from kybern.api.time import format_time

__all__ = [
    "Manager",
    "after_create",
    "after_update",
    "conflicts",
    "entries_of",
    "given_entries",
    "managers_of",
    "owned_fields",
]

_NEVER_OWNED = (
    ("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace"), ("f:metadata", "f:uid"),
    ("f:metadata", "f:creationTimestamp"), ("f:metadata", "f:resourceVersion"), ("f:metadata", "f:generation"),
    ("f:metadata", "f:managedFields"), ("f:metadata", "f:selfLink"),
)  # fmt: skip
_UNKNOWN = "before-first-apply"
_APPLY, _UPDATE = "Apply", "Update"


@attrs.frozen
class Manager:
    """One who sets fields, in one way."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.operation == _APPLY else f"{text} using {self.api_version}"


def owned_fields(value: Any, type_: ObjectType, subresource: str, has_status: bool) -> FieldSet:
    """The fields of an object that a writer on this path can own."""
    return _ownable(fields_of(value, type_), subresource, has_status)


def _ownable(fields: FieldSet, subresource: str, has_status: bool) -> FieldSet:
    fields = FieldSet(False, dict(fields.children))
    for path in _NEVER_OWNED:
        fields = fields.without(*path)
    if "f:metadata" in fields.children:
        metadata = fields.children["f:metadata"]
        fields.children["f:metadata"] = FieldSet(False, metadata.children)
    if subresource == "status":
        return FieldSet(False, {n: node for n, node in fields.children.items() if n in ("f:metadata", "f:status")})
    return fields.without("f:status") if has_status else fields


def managers_of(obj: Any, type_: ObjectType, entries: Sequence[Any] | None = None) -> dict[Manager, FieldSet]:
    """The managers of a stored object; one for all its writers when nobody has applied it yet."""
    entries = entries or obj.metadata.managedFields
    if not entries:
        everything = _ownable(fields_of(types.to_plain(obj), type_), "", False)
        return {Manager(_UNKNOWN, _UPDATE, obj.apiVersion): everything}
    return {_manager(entry): FieldSet.from_fields_v1(entry.fieldsV1) for entry in entries}


def _manager(entry: Any) -> Manager:
    return Manager(entry.manager or "", entry.operation or "", entry.apiVersion or "", entry.subresource or "")


def entries_of(managers: dict[Manager, FieldSet], old: Iterable[Any], writer: Manager, now: float) -> list[Any]:
    """The managers as entries; only the time of who writes changes, and only when it gets other fields."""
    struct = types.struct("meta", "v1", "ManagedFieldsEntry")
    before = {(e.manager, e.operation, e.apiVersion, e.subresource or ""): e for e in old or ()}
    found = []
    for manager, fields in managers.items():
        if not fields:
            continue
        data = fields.fields_v1()
        known = before.get((manager.name, manager.operation, manager.api_version, manager.subresource))
        if known is not None and known.fieldsV1 == data:
            found.append(known)
            continue
        entry = struct(manager=manager.name, operation=manager.operation, apiVersion=manager.api_version)
        entry.time = known.time if known is not None and manager != writer else format_time(now)
        entry.subresource = manager.subresource or None
        entry.fieldsType, entry.fieldsV1 = "FieldsV1", data
        found.append(entry)
    return sorted(found, key=_place)


def _place(entry: Any) -> tuple[str, ...]:
    return entry.operation, entry.time or "", entry.manager or "", entry.apiVersion, entry.subresource or ""


def conflicts(managers: dict[Manager, FieldSet], own: Manager, fields: FieldSet) -> dict[Manager, FieldSet]:
    """What others own of these fields."""
    found = {m: theirs.common(fields) for m, theirs in managers.items() if m != own}
    return {m: theirs for m, theirs in found.items() if theirs}


def conflict_error(found: dict[Manager, FieldSet]) -> StatusError:
    """409, naming each field and who has it."""
    pairs = [(manager, path) for manager, fields in found.items() for path in fields.paths()]
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {m}", "field": p} for m, p in pairs]
    parts = []
    for manager, fields in found.items():
        paths = list(fields.paths())
        if len(paths) == 1:
            parts.append(f"conflict with {manager}: {paths[0]}")
        else:
            parts.append(f"conflicts with {manager}:" + "".join(f"\n- {path}" for path in paths))
    plural = "conflict" if len(pairs) == 1 else "conflicts"
    message = f"Apply failed with {len(pairs)} {plural}: " + "\n".join(parts)
    return StatusError(409, "Conflict", message, {"causes": causes})


def after_create(new: Any, type_: ObjectType, manager: Manager, has_status: bool, now: float) -> list[Any]:
    """The one entry of a new object: who made it owns what it says, and what it got by default."""
    nothing = types.to_plain(type(new)())
    ours = _ownable(changed(nothing, types.to_plain(new), type_), "", has_status)
    return entries_of({manager: ours}, (), manager, now)


def after_update(
    new: Any, old: Any, entries: Sequence[Any], type_: ObjectType, manager: Manager, has_status: bool, now: float
) -> list[Any]:
    """The entries after a write that was no apply: the writer owns what it changed, and nobody else does."""
    before, after = types.to_plain(old), types.to_plain(new)
    ours = _ownable(changed(before, after, type_), manager.subresource, has_status)
    everything = _ownable(fields_of(after, type_, whole=True), "", False)
    known = managers_of(old, type_, entries)
    managers = {m: f.minus(ours).common(everything) if m != manager else f for m, f in known.items()}
    if ours:
        managers[manager] = managers.get(manager, FieldSet()).common(everything).union(ours)
    return entries_of(managers, entries, manager, now)


def given_entries(given: Sequence[Any] | None, stored: Sequence[Any] | None) -> Sequence[Any] | None:
    """What a client that writes the entries themselves makes of them: its own when they can be read, none for a
    single empty one, and the stored ones for anything else."""
    if not given or given == stored:
        return stored
    if len(given) == 1 and not any((_manager(given[0]).name, given[0].operation, given[0].fieldsV1, given[0].time)):
        return None
    readable = all(e.operation in (_APPLY, _UPDATE) and e.fieldsType == "FieldsV1" and e.apiVersion for e in given)
    return given if readable else stored
