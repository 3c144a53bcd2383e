"""Runs a kind's functions in the order the API server does, without a server: write plain data, read complaints."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from kybern.api import decode, types
from kybern.api.field import Errors
from kybern.api.kind import Kind, WriteContext
from kybern.api.time import format_time

NOW = 1_767_225_600.0
UID = "3f6c0c5e-0000-4000-8000-000000000001"
ABSENT: Any = object()
"""As a value in `changed`: take the field away."""


def changed(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy with values put at dotted paths; a number in a path is a list index."""
    made: dict[str, Any] = copy.deepcopy(dict(plain))
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = made
        for part in parents:
            place = place[part] if isinstance(place, list) else place.setdefault(part, {})
        if value is ABSENT:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return made


def read(kind: Kind, plain: Mapping[str, Any]) -> Any:
    """Decoded strictly, as a user's body is."""
    obj, problems = decode.read(kind.struct, json.dumps(plain).encode(), strict=True)
    assert not problems, problems
    return obj


def created(kind: Kind, plain: Mapping[str, Any]) -> Any:
    """What a create would check and store, metadata from the server included."""
    obj = read(kind, plain)
    kind.default(obj)
    obj.metadata.namespace = obj.metadata.namespace or ("default" if kind.namespaced else None)
    obj.metadata.uid = UID
    obj.metadata.creationTimestamp = format_time(NOW)
    kind.prepare_create(obj, WriteContext(now=NOW))
    return obj


def stored(kind: Kind, plain: Mapping[str, Any]) -> Any:
    """As `created`, as if read from the store."""
    obj = created(kind, plain)
    obj.metadata.resourceVersion = "7"
    return obj


def shown(obj: Any) -> dict[str, Any]:
    """The object as JSON would show it."""
    data: dict[str, Any] = json.loads(types.encode(obj))
    return data


def texts(errors: Errors) -> list[str]:
    """Each complaint as `field: detail`."""
    return [str(error) for error in errors]


def complaints(kind: Kind, plain: Mapping[str, Any]) -> list[str]:
    """What a create would answer, metadata aside."""
    errors = Errors()
    kind.validate(created(kind, plain), errors)
    return texts(errors)


def update(kind: Kind, old: Any, changes: Mapping[str, Any], subresource: str = "") -> tuple[Any, list[str]]:
    """The object after an update of a stored one, and the complaints about it."""
    new = types.from_plain(kind.struct, changed(shown(old), changes))
    if subresource != "status":
        kind.default(new)
    kind.prepare_update(new, old, WriteContext(now=NOW, subresource=subresource))
    errors = Errors()
    if subresource == "status":
        kind.validate_status_update(new, old, errors)
    else:
        kind.validate(new, errors)
        kind.validate_subresource.get(subresource, kind.validate_update)(new, old, errors)
    return new, texts(errors)
