"""apply: server-side apply.

The client sends what it wants of an object; the server merges it, and remembers who wanted what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.patch.fieldset import FieldSet
from kybern.api.patch.ownership import ObjectType, changed, merged, misfits, object_type, removed
from kybern.apiserver import last_applied, managed
from kybern.apiserver.backend import Backend
from kybern.apiserver.managed import Manager
from kybern.apiserver.operation import Operation, Written
from kybern.apiserver.resource import Resource
from kybern.apiserver.verbs.create import create, require_create
from kybern.apiserver.verbs.update import check_identity, update

__all__ = ["apply", "check_form"]

Decode = Callable[[Any], Any]
"""Plain data -> Struct, or StatusError."""


async def apply(
    backend: Backend, resource: Resource, op: Operation, wanted: dict[str, Any], decode: Decode, *, force: bool
) -> Written:
    """Make the object have these fields. `decode` turns plain data into the served Struct."""
    wanted = _without_nulls(wanted)
    check_form(resource.struct, resource.kind.api_version, wanted)
    given = decode(wanted)
    if given.metadata.managedFields:
        raise StatusError.bad_request("metadata.managedFields must be nil")
    check_identity(given.metadata, op, resource)
    wanted.setdefault("metadata", {}).pop("managedFields", None)
    step = _Apply(resource, op, wanted, decode, force)
    if resource.cache.get(op.namespace, op.name) is None and not op.subresource:
        require_create(backend, resource, op)
        if uid := given.metadata.uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise StatusError.conflict(resource.kind.plural, resource.kind.group, op.name, why)
        try:
            given.metadata.managedFields = step.entries({step.manager: step.fields}, None) or None
            op.applied = True
            return await create(backend, resource, op, given)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
    op.applied = True
    return await update(backend, resource, op, step.change, blind=True)


def check_form(struct: type[Any], expected: str, wanted: dict[str, Any]) -> None:
    """What is applied is of this version of the kind, and has only fields that it knows; StatusError 400."""
    version, definition = wanted.get("apiVersion", ""), types.definition_of(struct)
    if version != expected:
        raise StatusError.bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {version}, expected: {expected}"
        )
    found = list(misfits(wanted, object_type(definition.name)))
    if not found:
        return
    metadata = wanted.get("metadata")
    name, namespace = (
        (metadata.get(key, "") for key in ("name", "namespace")) if isinstance(metadata, dict) else ("", "")
    )
    full = f"{expected if '/' in expected else '/' + expected}, Kind={definition.short}"
    text = found[0] if len(found) == 1 else "errors:" + "".join(f"\n  {problem}" for problem in found)
    raise StatusError.bad_request(f"failed to create typed patch object ({namespace}/{name}; {full}): {text}")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _on_this_path(wanted: dict[str, Any], subresource: str, has_status: bool) -> dict[str, Any]:
    """The status is applied on its own path, and there is nothing else there."""
    if subresource == "status":
        return {k: v for k, v in wanted.items() if k in ("apiVersion", "kind", "metadata", "status")}
    return {k: v for k, v in wanted.items() if k != "status"} if has_status else wanted


class _Apply:
    """One apply; `change` is run again when another writer comes between."""

    def __init__(self, resource: Resource, op: Operation, wanted: dict[str, Any], decode: Decode, force: bool) -> None:
        self._op, self._decode, self._force = op, decode, force
        self._type: ObjectType = object_type(types.definition_of(resource.struct).name)
        self._has_status = "status" in resource.subresources
        self._wanted = _on_this_path(wanted, op.subresource, self._has_status)
        self.manager = Manager(op.field_manager, "Apply", resource.kind.api_version, op.subresource)
        self.fields = managed.owned_fields(wanted, self._type, op.subresource, self._has_status)

    def entries(self, managers: dict[Manager, FieldSet], old: Any) -> list[Any]:
        """managedFields of these managers."""
        before = old.metadata.managedFields if old is not None else ()
        return managed.entries_of(managers, before, self.manager, self._op.now)

    def change(self, live: Any) -> Any:
        """The live object with the wanted fields; StatusError 409 when others own them and want something else."""
        plain = msgspec.json.decode(types.encode(live))
        managers = managed.managers_of(live, self._type)
        kept = self.fields
        for manager, fields in managers.items():
            if manager != self.manager:
                kept = kept.union(fields)
        given_up = managers.get(self.manager, FieldSet()).minus(self.fields)
        new = self._decode(removed(merged(plain, self._wanted, self._type), given_up, kept, self._type))
        self._settle(managers, plain, new)
        managers[self.manager] = self.fields
        last_applied.keep_up(self.manager.name, new, self._wanted)
        new.metadata.managedFields = self.entries(managers, live) or None
        if new.metadata.resourceVersion == live.metadata.resourceVersion:
            new.metadata.resourceVersion = None
        return new

    def _settle(self, managers: dict[Manager, FieldSet], live: dict[str, Any], new: Any) -> None:
        """Take over, or refuse to, what others own of the fields that change."""
        differs = changed(live, msgspec.json.decode(types.encode(new)), self._type)
        contested = managed.conflicts(managers, self.manager, differs)
        if contested and not self._force:
            own = last_applied.recorded(self.manager.name, live, self._type)
            refused = {m: left for m, fields in contested.items() if (left := fields.minus(own))}
            if refused:
                raise managed.conflict_error(refused)
        for manager, fields in contested.items():
            managers[manager] = managers[manager].minus(fields)
