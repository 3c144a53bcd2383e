"""update and patch: read the stored object, change it, check what may change, commit.

All of it again when somebody else was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.patch.ownership import object_type
from kybern.api.validation.metadata import validate_object_meta_update
from kybern.apiserver import metadata as meta
from kybern.apiserver.backend import Backend
from kybern.apiserver.managed import Manager, after_update, given_entries
from kybern.apiserver.operation import Operation, Written
from kybern.apiserver.resource import Resource
from kybern.apiserver.verbs.create import create, require_create
from kybern.store.cache import Item
from kybern.store.interface import CompareFailed

__all__ = ["Change", "replace", "update"]

Change = Callable[[Any], Any]
"""Served object as stored (read-only) -> a new object to be stored in its place."""

_PATCH_TRIES = 10


async def replace(backend: Backend, resource: Resource, op: Operation, obj: Any) -> Written:
    """PUT: `obj` takes the stored object's place, or is created where the kind allows that."""
    check_identity(obj.metadata, op, resource)
    if (
        resource.cache.get(op.namespace, op.name) is None
        and resource.kind.allow_create_on_update
        and not op.subresource
    ):
        if obj.metadata.resourceVersion or obj.metadata.uid:
            raise _gone(resource, op, obj)
        require_create(backend, resource, op)
        return await create(backend, resource, op, obj)
    once = bool(obj.metadata.resourceVersion)
    return await update(backend, resource, op, lambda _: obj if once else types.copy(obj))


def _gone(resource: Resource, op: Operation, obj: Any) -> StatusError:
    kind = resource.kind
    if obj.metadata.uid:
        why = (
            f"StorageError: invalid object, Code: 4, Key: {_upstream_key(resource, op)}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {obj.metadata.uid}, UID in object meta: "
        )
        return StatusError.conflict(kind.plural, kind.group, op.name, why)
    return resource.not_found(op.name)


def check_identity(metadata: Any, op: Operation, resource: Resource) -> None:
    """The object is the one that the path names; StatusError 400 otherwise."""
    meta.check_namespace(resource.kind, metadata, op.namespace)
    if not metadata.name:
        raise StatusError.bad_request(
            f"the name of the object ({op.name} based on URL) was undeterminable: name must be provided"
        )
    if metadata.name != op.name:
        raise StatusError.bad_request(
            f"the name of the object ({metadata.name}) does not match the name on the URL ({op.name})"
        )


async def update(
    backend: Backend, resource: Resource, op: Operation, change: Change, *, blind: bool = False
) -> Written:
    """Store what `change` makes of the stored object. Runs `change` again when another writer came between,
    unless it named the resourceVersion that it wants to replace. `blind`: the client sent a difference, not an
    object, and need not know the resourceVersion."""
    warned = len(op.warnings)
    for left in reversed(range(_PATCH_TRIES)):
        item = resource.item(op.namespace, op.name)
        new = change(resource.object(item))
        if blind:
            check_identity(new.metadata, op, resource)
        meta.dedup_owners(new.metadata, op.warnings, patched=blind)
        named_revision = bool(new.metadata.resourceVersion)
        _check_preconditions(resource, op, new.metadata, item, blind)
        try:
            return await _update_once(backend, resource, op, item, new)
        except CompareFailed:
            if named_revision or not left:
                raise _conflict(resource, op) from None
            del op.warnings[warned:]
    raise AssertionError("not reached")


def _check_preconditions(resource: Resource, op: Operation, metadata: Any, item: Item, blind: bool) -> None:
    kind = resource.kind
    uid = item.object.metadata.uid
    if metadata.uid and metadata.uid != uid:
        why = (
            f"StorageError: invalid object, Code: 4, Key: {_upstream_key(resource, op)}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {metadata.uid}, UID in object meta: {uid}"
        )
        raise StatusError.conflict(kind.plural, kind.group, op.name, why)
    revision = metadata.resourceVersion
    if not revision:
        if not (kind.unconditional_update or op.subresource or blind):
            raise meta.revision_required(kind, op.name)
        return
    if not (revision.isascii() and revision.isdigit()):
        raise StatusError.bad_request(f'strconv.ParseUint: parsing "{revision}": invalid syntax')
    if revision == "0":
        if not kind.unconditional_update:
            raise meta.revision_required(kind, op.name)
        metadata.resourceVersion = None
    elif int(revision) != item.revision:
        raise _conflict(resource, op)


def _upstream_key(resource: Resource, op: Operation) -> str:
    return "/".join(p for p in ("/registry", resource.kind.plural, op.namespace, op.name) if p)


def _conflict(resource: Resource, op: Operation) -> StatusError:
    return StatusError.conflict(resource.kind.plural, resource.kind.group, op.name)


async def _update_once(backend: Backend, resource: Resource, op: Operation, item: Item, new: Any) -> Written:
    kind, old = resource.storage, item.object
    if op.subresource != "status":
        resource.kind.default(new)
    stored = resource.to_storage(new)
    if op.subresource == "status":
        stored = _only_status(stored, old)
    entries = given_entries(None if op.subresource else stored.metadata.managedFields, old.metadata.managedFields)
    meta.carry_over(kind, stored.metadata, old.metadata, applied=op.applied)
    await backend.admission.mutate("UPDATE", kind, op, stored, old)
    prepare(resource, op, stored, old)
    if not op.applied:
        stored.metadata.managedFields = _tracked(resource, op, stored, old, entries) if entries else None
    if _finished_deleting(stored, old):
        return await _remove(backend, resource, op, item, stored)
    await backend.admission.validate("UPDATE", kind, op, stored, old)
    with backend.services.reserved(resource, stored, old, op.dry_run):
        if op.dry_run:
            served = resource.from_storage(stored)
            return Written(served, types.encode(served))
        written = await resource.cache.update(stored, item.revision)
    return Written(resource.object(written), resource.json(written))


def _tracked(resource: Resource, op: Operation, new: Any, old: Any, entries: Sequence[Any]) -> list[Any] | None:
    """The entries about an object's fields, with what this write changes."""
    type_ = object_type(types.definition_of(type(new)).name)
    manager = Manager(op.field_manager or op.user.name, "Update", resource.kind.api_version, op.subresource)
    return after_update(new, old, entries, type_, manager, "status" in resource.subresources, op.now) or None


def _only_status(new: Any, old: Any) -> Any:
    """The stored object with the status, and the metadata, of the new one."""
    kept = copy(old)  # shares the spec with the stored object: nothing on the way of a status changes a spec
    kept.status = new.status
    kept.metadata = new.metadata
    return kept


def prepare(resource: Resource, op: Operation, new: Any, old: Any) -> None:
    """Keep what this path may not change and check the rest; StatusError 422 with all that is wrong."""
    kind = resource.storage
    new.metadata.resourceVersion = old.metadata.resourceVersion
    kind.prepare_update(new, old, op.context())
    if op.subresource != "status":
        new.metadata.generation = meta.generation_after(kind, new, old)
    errors = Errors()
    validate_object_meta_update(new.metadata, old.metadata, errors, kind)
    if op.subresource == "status":
        kind.validate_status_update(new, old, errors)
    else:
        rules, served = resource.rules(new)
        rules.validate(served, errors)
        check = rules.validate_subresource.get(op.subresource, rules.validate_update)
        check(served, old if rules is kind else resource.from_storage(old), errors)
    if errors:
        raise StatusError.invalid(kind.kind, kind.group, op.name, errors)
    if kind.warn is not None and not op.subresource:
        op.warnings.extend(kind.warn(new, old))


def _finished_deleting(new: Any, old: Any) -> bool:
    """Whether this update takes away the last thing a deletion waited for."""
    if not old.metadata.deletionTimestamp or new.metadata.finalizers or old.metadata.deletionGracePeriodSeconds:
        return False
    if new.kind == "Namespace" and new.apiVersion == "v1":
        return not new.spec.finalizers
    return True


async def _remove(backend: Backend, resource: Resource, op: Operation, item: Item, new: Any) -> Written:
    await backend.admission.validate("UPDATE", resource.storage, op, new, item.object)
    if not op.dry_run:
        await resource.cache.delete(op.namespace, op.name, item.revision)
        backend.services.released(resource, item.object)
    served = resource.from_storage(new)
    return Written(served, types.encode(served), deleted=True)
