"""delete and deletecollection: preconditions, grace, finalizers, propagation; and what is gone at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.time import format_time, parse_time
from kybern.apiserver.backend import Backend
from kybern.apiserver.operation import Operation, Written
from kybern.apiserver.resource import Resource
from kybern.store.cache import Item
from kybern.store.interface import CompareFailed

__all__ = ["DeleteOptions", "check_preconditions", "delete", "delete_collection"]

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_PROPAGATION = ("Foreground", "Background", "Orphan")
_DONE = ("Succeeded", "Failed")
_TRIES = 10
_DEFAULT_GRACE = 30


@attrs.frozen
class DeleteOptions:
    """How to delete (meta/v1 DeleteOptions)."""

    grace: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str | None = None
    orphan: bool | None = None
    """The older way to say it: `orphanDependents`."""

    def check(self) -> None:
        """StatusError 422 for values that do not exist."""
        errors = Errors()
        if self.propagation is not None and self.orphan is not None:
            errors.invalid(
                "propagationPolicy", self.propagation, "orphanDependents and deletionPropagation cannot be both set"
            )
        elif self.propagation is not None and self.propagation not in _PROPAGATION:
            errors.not_supported("propagationPolicy", self.propagation, [*_PROPAGATION, "nil"])
        if errors:
            raise StatusError.invalid("DeleteOptions", "meta.k8s.io", "", errors)


async def delete(backend: Backend, resource: Resource, op: Operation, options: DeleteOptions) -> Written:
    """Delete an object, or mark it for those who must finish first."""
    options.check()
    warning = resource.kind.orphans
    if warning and warning not in op.warnings and options.propagation is None and options.orphan is None:
        op.warnings.append(warning)
    for left in reversed(range(_TRIES)):
        item = resource.item(op.namespace, op.name)
        check_preconditions(resource, op, options, item)
        await backend.admission.mutate("DELETE", resource.storage, op, None, item.object)
        await backend.admission.validate("DELETE", resource.storage, op, None, item.object)
        try:
            return await _delete_once(backend, resource, op, options, item)
        except CompareFailed:
            if not left:
                raise StatusError.conflict(resource.kind.plural, resource.kind.group, op.name) from None
    raise AssertionError("not reached")


def check_preconditions(resource: Resource, op: Operation, options: DeleteOptions, item: Item) -> None:
    """StatusError 409 when the object is not the one that was meant."""
    metadata = item.object.metadata
    if options.uid is not None and options.uid != metadata.uid:
        raise _precondition(resource, op, "UID", options.uid, metadata.uid, "deleted and then recreated")
    wanted = options.resource_version
    if wanted is not None and wanted != str(item.revision):
        raise _precondition(resource, op, "ResourceVersion", wanted, str(item.revision), "modified")


def _precondition(resource: Resource, op: Operation, what: str, given: str, actual: str, happened: str) -> StatusError:
    kind = resource.kind
    why = (
        f"the {what} in the precondition ({given}) does not match the {what} in record ({actual}). "
        f"The object might have been {happened}"
    )
    return StatusError.conflict(kind.kind, kind.group, op.name, why)


async def _delete_once(
    backend: Backend, resource: Resource, op: Operation, options: DeleteOptions, item: Item
) -> Written:
    kind, old = resource.storage, item.object
    grace = 0 if kind.no_grace else _grace(old, options)
    finalizers = _finalizers(old.metadata.finalizers or [], options, kind.orphans is not None)
    if _holds(old, kind.no_grace, grace, finalizers):
        marked = types.copy(old)
        if not _mark(marked, kind.no_grace, grace, finalizers, op.now):
            return Written(resource.object(item), resource.json(item))
        if op.dry_run:
            return _written(resource, marked)
        written = await resource.cache.update(marked, item.revision)
        return Written(resource.object(written), resource.json(written))
    last = _last_state(old, kind.no_grace, op.now)
    if not op.dry_run:
        await resource.cache.delete(op.namespace, op.name, item.revision)
        backend.services.released(resource, old)
    return _written(resource, last, deleted=True)


def _written(resource: Resource, stored: Any, deleted: bool = False) -> Written:
    served = resource.from_storage(stored)
    return Written(served, types.encode(served), deleted=deleted)


def _grace(pod: Any, options: DeleteOptions) -> int:
    """Seconds that a pod gets to stop: none when it runs nowhere or has ended."""
    wanted = options.grace if options.grace is not None else pod.spec.terminationGracePeriodSeconds
    if not pod.spec.nodeName or pod.status.phase in _DONE:
        return 0
    if wanted is None:
        return _DEFAULT_GRACE
    return wanted if wanted >= 0 else 1


def _finalizers(finalizers: Sequence[str], options: DeleteOptions, orphans: bool) -> list[str]:
    """The object's finalizers with the ones that the wanted propagation needs. `orphans`: what it is by default."""
    propagation = options.propagation
    if propagation is None and options.orphan is not None:
        propagation = "Orphan" if options.orphan else "Background"
    if propagation is None and orphans and _FOREGROUND not in finalizers:
        propagation = "Orphan"
    if propagation is None:
        return list(finalizers)
    kept = [f for f in finalizers if f not in (_ORPHAN, _FOREGROUND)]
    if propagation == "Orphan":
        kept.append(_ORPHAN)
    elif propagation == "Foreground":
        kept.append(_FOREGROUND)
    return kept


def _is_namespace(obj: Any) -> bool:
    return bool(obj.kind == "Namespace" and obj.apiVersion == "v1")


def _holds(obj: Any, no_grace: bool, grace: int, finalizers: Sequence[str]) -> bool:
    """Whether the object has to stay for now."""
    if finalizers or grace:
        return True
    return _is_namespace(obj) and bool(obj.spec.finalizers)


def _mark(obj: Any, no_grace: bool, grace: int, finalizers: list[str], now: float) -> bool:
    """Mark an object as being deleted; False when it says all that already. A grace period can only be shortened."""
    metadata = obj.metadata
    before = (metadata.deletionTimestamp, metadata.deletionGracePeriodSeconds, metadata.finalizers)
    metadata.finalizers = finalizers or None
    if not metadata.deletionTimestamp:
        metadata.deletionTimestamp = format_time(now + grace)
        metadata.deletionGracePeriodSeconds = None if _is_namespace(obj) else grace
        if metadata.generation:
            metadata.generation += 1
    elif not no_grace and grace < (metadata.deletionGracePeriodSeconds or 0):
        begun = parse_time(metadata.deletionTimestamp) - metadata.deletionGracePeriodSeconds
        metadata.deletionTimestamp = format_time(max(begun + grace, now) if grace else now)
        metadata.deletionGracePeriodSeconds = grace
    if _is_namespace(obj):
        obj.status.phase = "Terminating"
    return before != (metadata.deletionTimestamp, metadata.deletionGracePeriodSeconds, metadata.finalizers)


def _last_state(old: Any, no_grace: bool, now: float) -> Any:
    """What the client is shown of an object that is gone; kinds with grace end with a grace of zero."""
    if no_grace:
        return old
    last = types.copy(old)
    metadata = last.metadata
    if not metadata.deletionTimestamp and metadata.generation:
        metadata.generation += 1
    metadata.deletionTimestamp = metadata.deletionTimestamp or format_time(now)
    metadata.deletionGracePeriodSeconds = 0
    return last


async def delete_collection(
    backend: Backend, resource: Resource, op: Operation, options: DeleteOptions, items: Sequence[Item]
) -> list[Written]:
    """Delete every one of these; those that are gone by now do not matter."""
    options.check()
    written = []
    for item in items:
        metadata = item.object.metadata
        one = attrs.evolve(op, namespace=metadata.namespace or "", name=metadata.name)
        try:
            written.append(await delete(backend, resource, one, options))
        except StatusError as error:
            if error.code != 404:
                raise
    return written
