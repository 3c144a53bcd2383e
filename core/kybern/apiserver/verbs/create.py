"""create: default, mutate, prepare, validate, commit."""

from __future__ import annotations

from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.patch.ownership import object_type
from kybern.api.validation.metadata import validate_object_meta
from kybern.apiserver import metadata as meta
from kybern.apiserver.authorization import Attributes
from kybern.apiserver.backend import Backend
from kybern.apiserver.managed import Manager, after_create
from kybern.apiserver.operation import Operation, Written
from kybern.apiserver.resource import Resource
from kybern.store.interface import CompareFailed

__all__ = ["create", "prepare", "require_create"]

_NAME_TRIES = 8


async def create(backend: Backend, resource: Resource, op: Operation, obj: Any) -> Written:
    """Store a new object, which is the server's from now on. StatusError when it may not be."""
    kind = resource.kind
    metadata = obj.metadata
    meta.check_namespace(kind, metadata, op.namespace)
    if metadata.resourceVersion:
        raise StatusError.bad_request("resourceVersion should not be set on objects to be created")
    meta.dedup_owners(metadata, op.warnings)
    generated = bool(metadata.generateName and not metadata.name)
    if generated:
        metadata.name = meta.generate_name(metadata.generateName)
    op.name = metadata.name or ""
    kind.default(obj)
    tracked = not op.applied and (op.named or backend.tracks_everybody)
    entries = _first_entries(resource, op, obj) if tracked else None
    stored = resource.to_storage(obj)
    await backend.admission.mutate("CREATE", resource.storage, op, stored, None)
    prepare(resource, op, stored)
    if tracked:
        stored.metadata.managedFields = entries
    await backend.admission.validate("CREATE", resource.storage, op, stored, None)
    with backend.services.reserved(resource, stored, None, op.dry_run):
        if op.dry_run:
            return _pretend(resource, op, stored)
        return await _commit(resource, op, stored, generated)


def _first_entries(resource: Resource, op: Operation, obj: Any) -> list[Any]:
    type_ = object_type(types.definition_of(type(obj)).name)
    manager = Manager(op.field_manager or op.user.name, "Update", resource.kind.api_version)
    return after_create(obj, type_, manager, "status" in resource.subresources, op.now)


def require_create(backend: Backend, resource: Resource, op: Operation) -> None:
    """For updates that create: who may only update may not. StatusError 403."""
    kind = resource.kind
    backend.authorization.require(
        Attributes(op.user, "create", True, kind.group, kind.version, kind.plural, "", op.namespace, op.name)
    )


def prepare(resource: Resource, op: Operation, obj: Any) -> None:
    """Fill in what the server owns and check everything; StatusError 422 with all that is wrong."""
    kind = resource.storage
    meta.begin(kind, obj.metadata, op.now, applied=op.applied)
    kind.prepare_create(obj, op.context())
    errors = Errors()
    validate_object_meta(obj.metadata, kind, errors)
    rules, served = resource.rules(obj)
    rules.validate(served, errors)
    if errors:
        raise StatusError.invalid(kind.kind, kind.group, obj.metadata.name or "", errors)
    if kind.warn is not None:
        op.warnings.extend(kind.warn(obj, None))


def _pretend(resource: Resource, op: Operation, obj: Any) -> Written:
    if resource.cache.get(op.namespace, obj.metadata.name) is not None:
        raise _exists(resource, obj.metadata.name)
    served = resource.from_storage(obj)
    return Written(served, types.encode(served), created=True)


async def _commit(resource: Resource, op: Operation, obj: Any, generated: bool) -> Written:
    for left in reversed(range(_NAME_TRIES if generated else 1)):
        try:
            item = await resource.cache.create(obj)
            return Written(resource.object(item), resource.json(item), created=True)
        except CompareFailed:
            if not left:
                raise _exists(resource, obj.metadata.name) from None
            obj.metadata.name = op.name = meta.generate_name(obj.metadata.generateName)
    raise AssertionError("not reached")


def _exists(resource: Resource, name: str) -> StatusError:
    return StatusError.already_exists(resource.kind.plural, resource.kind.group, name)
