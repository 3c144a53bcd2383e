"""What a custom resource's OpenAPI schema may say, keyword by keyword, and its validation rules in CEL.

`validate_schema` is the entry; it works on the schema as plain data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from kybern.api import cel
from kybern.api.apiextensions.field_paths import resolve, undefined_field
from kybern.api.apiextensions.structural import structural_errors
from kybern.api.apiextensions.values import validate_value
from kybern.api.field import Errors, Path

__all__ = ["validate_schema"]

Schema = dict[str, Any]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
LIST_TYPES, MAP_TYPES = ("atomic", "set", "map"), ("atomic", "granular")
RULE_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
META_FIELDS = ("metadata", "kind", "apiVersion")
UNSUPPORTED = {
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "patternProperties": "patternProperties is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "$ref": "$ref is not supported",
}
ROOT_FIELDS = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
"""What may stand at the root when `status` is a subresource, by upstream's names."""
SELF_TYPES = {"string": "string", "integer": "int", "number": "double", "boolean": "bool"}


@attrs.frozen
class _Place:
    """Where in the schema we are, as far as rules depend on it."""

    root: bool = False
    in_metadata: bool = False
    no_defaults: str = ""
    """Why defaults are forbidden here."""
    no_old_self: str = ""
    """The list or map whose items cannot be matched between two versions of an object."""


def validate_schema(schema: Schema, errors: Errors, path: Path, *, status_enabled: bool) -> None:
    """A version's whole schema."""
    found = Errors()
    if status_enabled:
        _validate_root(schema, found, path)
    if schema.get("nullable"):
        found.forbidden(path.child("nullable"), "nullable cannot be true at the root")
    structural = structural_errors(schema, path)
    if not structural:
        _validate_defaults(schema, structural, path)
    found += structural
    rules = Errors()
    _validate(schema, found, rules, path, _Place(root=True), use_cel=not structural)
    errors += found + rules


def _go_name(keyword: str) -> str:
    name = keyword.removeprefix("x-kubernetes-")
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("-"))
    return f"X{camel}" if name != keyword else camel


def _validate_root(schema: Schema, errors: Errors, path: Path) -> None:
    if schema.get("type") not in (None, "", "object"):
        text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        errors.invalid(path.child("type"), schema["type"], text)
        return
    if any(_go_name(keyword) not in ROOT_FIELDS.split() for keyword in schema):
        text = f"only [{ROOT_FIELDS}] fields are allowed at the root of the schema if the status subresource is enabled"
        errors.invalid(path, schema, text)


def _validate_defaults(schema: Schema, errors: Errors, path: Path) -> None:
    if schema.get("default") is not None:
        validate_value(schema, schema["default"], errors, path.child("default"))
    for inner, at in _structural_children(schema, path):
        _validate_defaults(inner, errors, at)


def _structural_children(schema: Schema, path: Path) -> Iterator[tuple[Schema, Path]]:
    for name, inner in (schema.get("properties") or {}).items():
        yield inner, path.child("properties").key(name)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield schema[keyword], path.child(keyword)


def _validate(schema: Schema, errors: Errors, rules: Errors, path: Path, place: _Place, *, use_cel: bool) -> None:
    before = len(errors)
    _validate_keywords(schema, errors, path, place)
    _validate_inner(schema, errors, rules, path, place, use_cel=use_cel)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.invalid(path.child("x-kubernetes-preserve-unknown-fields"), False, "must be true or undefined")
    _validate_topology(schema, errors, path)
    validations = schema.get("x-kubernetes-validations") or []
    for i, rule in enumerate(validations):
        _validate_rule_form(rule, schema, errors, path.child("x-kubernetes-validations").index(i))
    if use_cel and len(errors) == before:
        for i, rule in enumerate(validations):
            _compile_rule(rule, schema, rules, path.child("x-kubernetes-validations").index(i), place)


def _validate_keywords(schema: Schema, errors: Errors, path: Path, place: _Place) -> None:
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        errors.not_supported(path.child("type"), kind, TYPES)
    if schema.get("default") is not None and place.no_defaults:
        errors.forbidden(path.child("default"), f"must not be set {place.no_defaults}")
    for keyword, text in UNSUPPORTED.items():
        if schema.get(keyword) is not None:
            errors.forbidden(path.child(keyword), text)
    if kind == "null":
        errors.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        errors.forbidden(path.child("items"), "items must be a schema object and not an array")
    if place.in_metadata and schema.get("x-kubernetes-embedded-resource"):
        errors.forbidden(path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(path.child("uniqueItems"), text)
    additional = schema.get("additionalProperties")
    if schema.get("properties") and additional is not None and additional is not True:
        text = "additionalProperties and properties are mutual exclusive"
        errors.forbidden(path.child("additionalProperties"), text)


def _validate_inner(schema: Schema, errors: Errors, rules: Errors, path: Path, place: _Place, *, use_cel: bool) -> None:
    if isinstance(schema.get("additionalProperties"), dict):
        inner_place = attrs.evolve(place, root=False)
        if place.in_metadata:
            why = "inside additionalProperties applying to object metadata"
            inner_place = attrs.evolve(inner_place, no_defaults=why)
        at = path.child("additionalProperties")
        _validate(schema["additionalProperties"], errors, rules, at, inner_place, use_cel=use_cel)
    for name, inner in (schema.get("properties") or {}).items():
        at = path.child("properties").key(name)
        _validate(inner, errors, rules, at, _property_place(name, schema, path, place), use_cel=use_cel)
    inside = attrs.evolve(place, root=False)
    if isinstance(schema.get("not"), dict):
        _validate(schema["not"], errors, rules, path.child("not"), inside, use_cel=False)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for i, inner in enumerate(schema.get(junctor) or ()):
            _validate(inner, errors, rules, path.child(junctor).index(i), inside, use_cel=False)
    if isinstance(schema.get("items"), dict):
        if schema.get("x-kubernetes-list-type") != "map":
            inside = attrs.evolve(inside, no_old_self=place.no_old_self or str(path))
        _validate(schema["items"], errors, rules, path.child("items"), inside, use_cel=use_cel)


def _property_place(name: str, schema: Schema, path: Path, place: _Place) -> _Place:
    inner = attrs.evolve(place, root=False)
    if schema.get("x-kubernetes-map-type") == "atomic":
        inner = attrs.evolve(inner, no_old_self=place.no_old_self or str(path))
    if name in META_FIELDS and (place.root or schema.get("x-kubernetes-embedded-resource")):
        why = f"in top-level {name}" if place.root else place.no_defaults
        inner = attrs.evolve(inner, in_metadata=True, no_defaults=why)
    return inner


def _validate_topology(schema: Schema, errors: Errors, path: Path) -> None:
    """x-kubernetes-map-type, -list-type and -list-map-keys."""
    _validate_type_for(schema, "map", "object", MAP_TYPES, errors, path)
    _validate_type_for(schema, "list", "array", LIST_TYPES, errors, path)
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    at, text = path.child("x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty"
    if keys and list_type is None:
        errors.required(at, text)
    elif keys and list_type != "map":
        errors.invalid(at, list_type, text)
    if list_type == "map":
        _validate_map_list(schema, keys, errors, path)
    items = schema.get("items")
    if list_type in ("set", "map") and isinstance(items, dict):
        if items.get("nullable"):
            errors.forbidden(
                path.child("items", "nullable"), f"cannot be nullable when x-kubernetes-list-type is {list_type}"
            )
        for key in keys if list_type == "map" else ():
            _validate_map_key(key, items, errors, path.child("items", "properties").key(key))


def _validate_type_for(
    schema: Schema, what: str, kind: str, supported: tuple[str, ...], errors: Errors, path: Path
) -> None:
    keyword = f"x-kubernetes-{what}-type"
    value = schema.get(keyword)
    if value is None:
        return
    text = f"must be {kind} if {keyword} is specified"
    if not schema.get("type"):
        errors.required(path.child("type"), text)
    elif schema["type"] != kind:
        errors.invalid(path.child("type"), schema["type"], text)
    elif value == "set" and isinstance(schema.get("items"), dict):
        _validate_set_items(schema["items"], errors, path.child("items"))
    if value not in supported:
        errors.not_supported(path.child(keyword), value, supported)


def _validate_set_items(items: Schema, errors: Errors, path: Path) -> None:
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
        errors.invalid(path.child("x-kubernetes-list-type"), items["x-kubernetes-list-type"], text)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        errors.invalid(path.child("x-kubernetes-map-type"), items.get("x-kubernetes-map-type"), text)


def _validate_map_list(schema: Schema, keys: list[str], errors: Errors, path: Path) -> None:
    at, items = path.child("x-kubernetes-list-map-keys"), schema.get("items")
    if not keys:
        errors.required(at, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        errors.required(path.child("items"), "must have a schema if x-kubernetes-list-type is map")
        return
    if not isinstance(items, dict):
        text = "must only have a single schema if x-kubernetes-list-type is map"
        errors.invalid(path.child("items"), items, text)
        return
    kind = items.get("type") or ""
    if kind != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        errors.invalid(path.child("items", "type"), kind, text)
        return
    for i, key in enumerate(keys):
        inner = (items.get("properties") or {}).get(key)
        if inner is None:
            errors.invalid(at, keys, "entries must all be names of item properties")
        elif inner.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.invalid(path.child("items", "properties").key(key).child("type"), kind, text)
        if key in keys[:i]:
            errors.invalid(at, keys, "must not contain duplicate entries")


def _validate_map_key(key: str, items: Schema, errors: Errors, path: Path) -> None:
    inner = (items.get("properties") or {}).get(key)
    if inner is None:
        return
    intro = "this property is in x-kubernetes-list-map-keys, so it"
    if key not in (items.get("required") or ()) and inner.get("default") is None:
        errors.required(path.child("default"), f"{intro} must have a default or be a required property")
    if inner.get("nullable"):
        errors.forbidden(path.child("nullable"), f"{intro} cannot be nullable")


def _validate_rule_form(rule: Schema, schema: Schema, errors: Errors, path: Path) -> None:
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        errors.required(path.child("rule"), "rule is not specified")
    elif message and not message.strip():
        errors.invalid(path.child("message"), message, "message must be non-empty if specified")
    elif len(message.strip().splitlines()) > 1:
        errors.invalid(path.child("message"), message, "message must not contain line breaks")
    elif "\n" in text and not message:
        errors.required(path.child("message"), "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression")
    if expression and not expression.strip():
        errors.required(path.child("messageExpression"), "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in RULE_REASONS:
        errors.not_supported(path.child("reason"), rule["reason"], RULE_REASONS)
    field_path = rule.get("fieldPath")
    if not field_path:
        return
    if not field_path.strip():
        errors.invalid(path.child("fieldPath"), field_path, "fieldPath must be non-empty if specified")
    if "\n" in field_path:
        errors.invalid(path.child("fieldPath"), field_path, "fieldPath must not contain line breaks")
    if resolve(field_path, schema)[2]:
        errors.invalid(path.child("fieldPath"), field_path, "fieldPath must be a valid path")


def _compile_rule(rule: Schema, schema: Schema, errors: Errors, path: Path, place: _Place) -> None:
    text, expression = rule["rule"], rule.get("messageExpression")
    kind = SELF_TYPES.get(schema.get("type") or "")
    variables = tuple(f"{name}:{kind}" if kind else name for name in ("self", "oldSelf"))
    if fault := _rule_fault(text, schema, variables, ("bool",), place):
        errors.invalid(path.child("rule"), _shown(rule), fault)
    if expression and (fault := _rule_fault(expression, schema, variables, ("string",), place)):
        errors.invalid(path.child("messageExpression"), _shown(rule), fault)
    if "oldSelf" in text:
        if place.no_old_self:
            why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.no_old_self}"
            errors.invalid(path.child("rule"), text, why)
    elif rule.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        errors.invalid(path.child("optionalOldSelf"), rule["optionalOldSelf"], why)


def _rule_fault(text: str, schema: Schema, variables: tuple[str, ...], results: tuple[str, ...], place: _Place) -> str:
    if fault := cel.compile_fault(text, variables, results):
        return fault
    undefined = undefined_field(text, schema, is_root=place.root)
    return f"compilation failed: {undefined}" if undefined else ""


def _shown(rule: Schema) -> dict[str, Any]:
    """A rule in the shape that the error message shows."""
    return {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
