"""The part of `metadata` that belongs to the server: names it generates, uid, times, generation.

Runs inside create and update, around the kind's own functions.
"""

from __future__ import annotations

import os
import random
from typing import Any

from kybern.api.errors import StatusError
from kybern.api.field import Errors, FieldError
from kybern.api.kind import Kind
from kybern.api.time import format_time

__all__ = ["begin", "carry_over", "check_namespace", "dedup_owners", "generate_name", "generation_after", "new_uid"]

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels and look-alikes, so that no words come out (upstream's alphabet)."""
_SUFFIX = 5
_LONGEST = 63


def generate_name(base: str) -> str:
    """`base` and a random suffix, within the length of a DNS label."""
    return base[: _LONGEST - _SUFFIX] + "".join(random.choices(_ALPHABET, k=_SUFFIX))


def new_uid() -> str:
    """A random UUID (RFC 9562, version 4)."""
    number = int.from_bytes(os.urandom(16), "big") & ~(0xF << 76 | 0x3 << 62) | (4 << 76 | 2 << 62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def check_namespace(kind: Kind, metadata: Any, namespace: str) -> None:
    """The object is in the namespace of the path, or says nothing; StatusError 400 otherwise."""
    if not kind.namespaced:
        metadata.namespace = None
    elif not metadata.namespace:
        metadata.namespace = namespace
    elif metadata.namespace != namespace:
        raise StatusError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def dedup_owners(metadata: Any, warnings: list[str], *, patched: bool = False) -> None:
    """An owner that is named twice is named once from now on; the client is told."""
    owners = metadata.ownerReferences
    if not owners or len(owners) < 2:
        return
    kept: list[Any] = []
    twice: list[str] = []
    for owner in owners:
        if owner in kept:
            twice.append(owner.uid)
        else:
            kept.append(owner)
    if not twice:
        return
    metadata.ownerReferences = kept
    when = " after mutating admission happens" if patched else ""
    warnings.append(
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, "
        "and may reject such requests as early as 1.24; please fix your requests; "
        f"duplicate UID(s) observed: {', '.join(twice)}"
    )


def begin(kind: Kind, metadata: Any, now: float, *, applied: bool = False) -> None:
    """What every new object gets, whatever its creator wrote there."""
    metadata.uid = new_uid()
    metadata.creationTimestamp = format_time(now)
    metadata.deletionTimestamp = metadata.deletionGracePeriodSeconds = None
    metadata.selfLink = None
    if not applied:
        metadata.managedFields = None
    metadata.generation = 1 if kind.spec_changed is not None else None


def carry_over(kind: Kind, new: Any, old: Any, *, applied: bool = False) -> None:
    """What an update may leave out and never change: identity and the marks of deletion."""
    new.uid = new.uid or old.uid
    new.creationTimestamp = new.creationTimestamp or old.creationTimestamp
    new.deletionTimestamp = new.deletionTimestamp or old.deletionTimestamp
    if new.deletionGracePeriodSeconds is None:
        new.deletionGracePeriodSeconds = old.deletionGracePeriodSeconds
    new.namespace = new.namespace or old.namespace
    new.generation = old.generation
    new.selfLink = None
    if not applied:
        new.managedFields = old.managedFields


def generation_after(kind: Kind, new: Any, old: Any) -> int | None:
    """One more when the desired state has changed."""
    generation: int | None = old.metadata.generation
    if kind.spec_changed is not None and kind.spec_changed(new, old):
        return (generation or 0) + 1
    return generation


def revision_required(kind: Kind, name: str) -> StatusError:
    """422: this kind may not be overwritten blindly."""
    error = FieldError(
        "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update"
    )
    errors = Errors()
    errors.append(error)
    return StatusError.invalid(kind.kind, kind.group, name, errors)
