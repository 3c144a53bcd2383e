"""Whether a custom resource's schema is structural: every field has its type outside of logical junctors.

Works on schemas as plain data. Only structural schemas can be pruned and defaulted.
(Docs: "Extend the Kubernetes API with CustomResourceDefinitions", structural schema.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kybern.api.field import Errors, Path

__all__ = ["structural_errors"]

Schema = dict[str, Any]

NO_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
JUNCTORS = ("anyOf", "allOf", "oneOf")
FORBIDDEN = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
}
"""What may not stand inside a junctor."""


def structural_errors(schema: Schema, path: Path) -> Errors:
    """All faults of a root schema, in the order of their texts."""
    errors = Errors()
    _check(schema, "root", errors, path)
    _check_complete(schema, schema, errors, path, path)
    return Errors(sorted(errors, key=str))


def _check(schema: Schema, level: str, errors: Errors, path: Path) -> None:
    items = schema.get("items")
    if schema.get("type") == "array" and items is None:
        errors.required(path.child("items"), "must be specified")
    if isinstance(items, dict):
        _check(items, "item", errors, path.child("items"))
    for name, inner in (schema.get("properties") or {}).items():
        _check(inner, "field", errors, path.child("properties").key(name))
    additional = schema.get("additionalProperties")
    if additional is not None and level == "root":
        errors.forbidden(path.child("additionalProperties"), "must not be used at the root")
    if isinstance(additional, dict):
        _check(additional, "field", errors, path.child("additionalProperties"))
    _check_extensions(schema, errors, path)
    _check_junctors(schema, errors, path, structural=True)
    _check_type(schema, level, errors, path)
    if level == "root" or schema.get("x-kubernetes-embedded-resource"):
        _check_metadata(schema, level, errors, path.child("properties"))


def _check_extensions(schema: Schema, errors: Errors, path: Path) -> None:
    if not schema.get("x-kubernetes-int-or-string"):
        return
    for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
        if schema.get(name):
            errors.invalid(path.child(name), True, "must be false if x-kubernetes-int-or-string is true")


def _check_type(schema: Schema, level: str, errors: Errors, path: Path) -> None:
    kind, embedded = schema.get("type") or "", schema.get("x-kubernetes-embedded-resource")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    at, must = path.child("type"), "must be object if x-kubernetes-embedded-resource is true"
    if embedded and not kind:
        errors.required(at, must)
    elif embedded and kind != "object":
        errors.invalid(at, kind, must)
    elif not kind and not free:
        errors.required(at, NO_TYPE[level])
    if embedded and schema.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        errors.forbidden(path.child("additionalProperties"), text)
    if level == "root" and kind and kind != "object":
        errors.invalid(at, kind, "must be object at the root")
    if embedded and not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        errors.required(path.child("properties"), text)


def _check_metadata(schema: Schema, level: str, errors: Errors, path: Path) -> None:
    properties = schema.get("properties") or {}
    for name, kind in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        inner = properties.get(name)
        if inner is not None and inner.get("type") != kind:
            errors.invalid(path.key(name).child("type"), inner.get("type") or "", f"must be {kind}")
    metadata = properties.get("metadata")
    if metadata is None or level != "root":
        return
    named = set(metadata.get("properties") or {})
    if named - {"name", "generateName"} or set(metadata) - {"type", "properties", "default"}:
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        errors.forbidden(path.key("metadata"), text)


def _nested(schema: Schema, path: Path) -> Iterator[tuple[Schema, Path]]:
    for junctor in JUNCTORS:
        for i, inner in enumerate(schema.get(junctor) or ()):
            yield inner, path.child(junctor).index(i)
    if isinstance(schema.get("not"), dict):
        yield schema["not"], path.child("not")


def _is_int_or_string(schema: Schema) -> tuple[bool, bool]:
    """Whether `anyOf`, or the first `allOf`, is the one pattern in which types are allowed."""
    first = (schema.get("allOf") or [{}])[0]
    return schema.get("anyOf") == INT_OR_STRING, first.get("anyOf") == INT_OR_STRING


def _check_junctors(schema: Schema, errors: Errors, path: Path, *, structural: bool, skip_any: bool = False) -> None:
    any_of, all_of = _is_int_or_string(schema) if structural else (skip_any, False)
    for inner, at in _nested(schema, path):
        where = str(at)[len(str(path)) :]
        if any_of and where.startswith(".anyOf"):
            continue
        _check_inside(inner, errors, at, skip_any=all_of and where == ".allOf[0]")
    pattern = schema.get("pattern")
    if pattern:
        try:
            re.compile(pattern)
        except re.error as fault:
            text = f"must be a valid regular expression, but isn't: {fault}"
            errors.invalid(path.child("pattern"), pattern, text)


def _check_inside(schema: Schema, errors: Errors, path: Path, *, skip_any: bool = False) -> None:
    _check_junctors(schema, errors, path, structural=False, skip_any=skip_any)
    if isinstance(schema.get("items"), dict):
        _check_inside(schema["items"], errors, path.child("items"))
    properties = schema.get("properties") or {}
    for name, inner in properties.items():
        _check_inside(inner, errors, path.child("properties").key(name))
    for name, text in FORBIDDEN.items():
        if schema.get(name) not in (None, "", False, []) or (name == "additionalProperties" and name in schema):
            errors.forbidden(path.child(name), text)
    if "metadata" in properties:
        errors.forbidden(path.child("properties").key("metadata"), "must not be specified in a nested context")


def _check_complete(schema: Schema, outer: Schema | None, errors: Errors, path: Path, outer_path: Path) -> None:
    """What a junctor constrains must be specified outside of it."""
    for inner, at in _nested(schema, path):
        _check_specified(inner, outer, errors, at, outer_path)


def _check_specified(schema: Schema, outer: Schema | None, errors: Errors, path: Path, outer_path: Path) -> None:
    if outer is None:
        errors.required(outer_path, f"because it is defined in {path}")
        return
    _check_complete(schema, outer, errors, path, outer_path)
    if isinstance(schema.get("items"), dict):
        _check_specified(schema["items"], outer.get("items"), errors, path.child("items"), outer_path.child("items"))
    specified = outer.get("properties") or {}
    for name, inner in (schema.get("properties") or {}).items():
        at, outer_at = path.child("properties").key(name), outer_path.child("properties").key(name)
        _check_specified(inner, specified.get(name), errors, at, outer_at)
