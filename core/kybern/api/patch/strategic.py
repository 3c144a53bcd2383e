"""Strategic merge patch: a merge patch that knows lists of the schema by their merge keys.

(Kubernetes "Strategic Merge Patch", sig-api-machinery.) Directives in the patch: `$patch`
(`replace`, `delete`, `merge`), `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
`$setElementOrder/<field>`. How a field merges comes from a `PatchSchema`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from kybern.api.errors import StatusError
from kybern.api.patch.words import go_value, not_an_object

__all__ = ["PatchField", "PatchSchema", "apply_strategic_patch"]

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


class PatchField(Protocol):
    """How one field merges."""

    merge_key: str
    """The key that identifies items of the list; "" for none."""
    strategies: tuple[str, ...]
    """`merge`, `replace`, `retainKeys`."""
    schema: PatchSchema | None
    """Of the object, the list's items or the map's values; None when free-form."""


class PatchSchema(Protocol):
    """The fields of an object."""

    def field(self, name: str) -> PatchField | None:
        """None for an unknown field."""


def apply_strategic_patch(target: dict[str, Any], patch: Any, schema: PatchSchema | None) -> dict[str, Any]:
    """The target with the patch merged in. `target` may be changed, also when the patch is refused (400)."""
    if patch is None:
        return target
    if not isinstance(patch, dict):
        raise StatusError.bad_request(not_an_object(patch))
    return _merge_map(target, patch, schema)


def _merge_map(target: dict[str, Any], patch: dict[str, Any], schema: PatchSchema | None) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != _PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise StatusError.bad_request(f"unknown patch type: {go_value(directive)} in map: {go_value(patch)}")
    if _RETAIN in patch:
        _retain_keys(target, patch)
    for key in patch:
        if key.startswith(_ORDER):
            _check_order(patch, key, schema)
    for key, value in patch.items():
        if key not in (_PATCH, _RETAIN) and not key.startswith(_ORDER):
            _merge_key(target, patch, key, value, schema)
    for key in patch:
        if key.startswith(_ORDER) and key[len(_ORDER) :] not in patch:
            _reorder_only(target, patch, key[len(_ORDER) :], schema)
    return target


def _check_order(patch: dict[str, Any], key: str, schema: PatchSchema | None) -> None:
    """What the patch sets comes in the order that it asks for."""
    order, items = patch[key], patch.get(key[len(_ORDER) :])
    if not isinstance(order, list) or not (items is None or isinstance(items, list)):
        raise StatusError.bad_request("invalid patch format of setElementOrder list")
    field = schema.field(key[len(_ORDER) :]) if schema is not None else None
    if not order or not items or field is None:
        return
    identity = _identity(field.merge_key)
    rest = iter([identity(item) for item in order])
    kept = [i for i in items if not (isinstance(i, dict) and _PATCH in i)]
    if not all(identity(item) in rest for item in kept):
        text = f"{go_value(items)}\n doesn't match $setElementOrder list:\n{go_value(order)}\n"
        raise StatusError.bad_request(f"The order in patch list:\n{text}")


def _retain_keys(target: dict[str, Any], patch: dict[str, Any]) -> None:
    kept = patch[_RETAIN]
    plain = [k for k in patch if not k.startswith("$")]
    if not isinstance(kept, list) or any(patch[k] is not None and k not in kept for k in plain):
        raise StatusError.bad_request("invalid patch format of retainKeys")
    for key in [k for k in target if k not in kept]:
        del target[key]


def _merge_key(target: dict[str, Any], patch: dict[str, Any], key: str, value: Any, schema: PatchSchema | None) -> None:
    if key.startswith(_DELETE_PRIMITIVES):
        name = key[len(_DELETE_PRIMITIVES) :]
        if isinstance(target.get(name), list) and isinstance(value, list):
            target[name] = [item for item in target[name] if item not in value]
        return
    if value is None:
        target.pop(key, None)
        return
    field = schema.field(key) if schema is not None else None
    strategies = field.strategies if field is not None else ()
    current = target.get(key)
    if isinstance(value, dict):
        below = field.schema if field is not None else None
        if "replace" in strategies and _PATCH not in value:
            target[key] = value
        else:
            target[key] = _merge_map(current if isinstance(current, dict) else {}, value, below)
    elif isinstance(value, list) and "merge" in strategies and field is not None:
        target[key] = _merge_list(current if isinstance(current, list) else [], value, field, patch.get(_ORDER + key))
    else:
        target[key] = value


def _reorder_only(target: dict[str, Any], patch: dict[str, Any], name: str, schema: PatchSchema | None) -> None:
    field = schema.field(name) if schema is not None else None
    if field is not None and isinstance(target.get(name), list):
        target[name] = _ordered(target[name], target[name], patch[_ORDER + name], _identity(field.merge_key))


def _merge_list(target: list[Any], patch: list[Any], field: PatchField, order: Any) -> list[Any]:
    before = list(target)
    if not any(isinstance(item, dict) for item in [*target, *patch]):
        merged = list({_token(item): item for item in [*target, *patch]}.values())
        return _ordered(merged, before, order, _identity(""))
    if not field.merge_key:
        return patch
    merged = _merge_objects(target, patch, field)
    return _ordered(merged, before, order, _identity(field.merge_key))


def _merge_objects(target: list[Any], patch: list[Any], field: PatchField) -> list[Any]:
    key = field.merge_key
    if not all(isinstance(item, dict) for item in patch):
        raise StatusError.bad_request(f"list element types are not identical: {go_value([target, patch])}")
    if any(item.get(_PATCH) == "replace" for item in patch):
        return [item for item in patch if item.get(_PATCH) != "replace"]
    # By key, so that long lists do not cost the square of their length; items without a key keep a place of their own.
    merged: dict[Any, list[Any]] = {}
    for place, item in enumerate(target):
        known = isinstance(item, dict) and key in item
        merged.setdefault(_token(item[key]) if known else place, []).append(item)
    for item in patch:
        if key not in item:
            raise StatusError.bad_request(f"map: {go_value(item)} does not contain declared merge key: {key}")
        _merge_object(merged, _token(item[key]), item, field)
    return [item for items in merged.values() for item in items]


def _merge_object(merged: dict[Any, list[Any]], token: Any, item: dict[str, Any], field: PatchField) -> None:
    if item.get(_PATCH) == "delete":
        merged.pop(token, None)
    elif token in merged:
        merged[token][0] = _merge_map(merged[token][0], item, field.schema)
    else:
        merged[token] = [_merge_map({}, item, field.schema)]


def _token(value: Any) -> tuple[str, Any]:
    """Something that can be looked up and is equal for equal JSON values; 1 and true are not."""
    if value is None or isinstance(value, str | int | float):
        return type(value).__name__, value
    return "json", msgspec.json.encode(value, order="sorted")


def _identity(merge_key: str) -> Callable[[Any], Any]:
    def identity(item: Any) -> Any:
        return _token(item.get(merge_key) if merge_key and isinstance(item, dict) else item)

    return identity


def _ordered(merged: list[Any], before: list[Any], order: Any, identity: Callable[[Any], Any]) -> list[Any]:
    """The items named in `order` in that order, the others where the server had them relative to those."""
    if not isinstance(order, list):
        return merged
    wanted = _places(order, identity)
    server = _places(before, identity)
    named = deque(sorted((i for i in merged if identity(i) in wanted), key=lambda i: wanted[identity(i)]))
    others = deque(i for i in merged if identity(i) not in wanted)
    result: list[Any] = []
    while named and others:
        left, right = server.get(identity(named[0])), server.get(identity(others[0]))
        right_first = left is not None and right is not None and right < left
        result.append(others.popleft() if right_first else named.popleft())
    return [*result, *named, *others]


def _places(items: list[Any], identity: Callable[[Any], Any]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for place, item in enumerate(items):
        found.setdefault(identity(item), place)
    return found
