"""Values against a custom resource's schema: types, bounds, patterns, required fields.

Used for the defaults in a schema, and for custom resources themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from kybern.api.field import Errors, Path, go_value

__all__ = ["validate_value"]

Schema = dict[str, Any]


def type_name(value: Any) -> str:
    """The JSON schema type of a plain value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def validate_value(schema: Schema, value: Any, errors: Errors, path: Path, name: str = "") -> None:
    """Everything that is wrong with a value. `name`: where it is within the whole value, as messages say it."""
    if value is None and (schema.get("nullable") or not schema.get("type")):
        return
    if not _has_type(schema, value):
        errors.type_invalid(
            path, type_name(value), f"{name} in body must be of type {_wanted(schema)}: {_quoted(value)}"
        )
        if schema.get("type") == "integer" and isinstance(value, float):
            errors.invalid(path, "", f"Checked value must be of type integer (default format) in {name}")
        return
    _validate_enum(schema, value, errors, path)
    if isinstance(value, str):
        _validate_text(schema, value, errors, path, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _validate_number(schema, value, errors, path, name)
    elif isinstance(value, list):
        _validate_list(schema, value, errors, path, name)
    elif isinstance(value, dict):
        _validate_object(schema, value, errors, path, name)
    _validate_junctors(schema, value, errors, path, name)


def _quoted(value: Any) -> str:
    return f'"{type_name(value)}"'


def _wanted(schema: Schema) -> str:
    return "integer,string" if schema.get("x-kubernetes-int-or-string") else str(schema["type"])


def _has_type(schema: Schema, value: Any) -> bool:
    found, wanted = type_name(value), schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return found in ("integer", "string")
    if not wanted or found == wanted:
        return True
    if wanted == "integer":
        return found == "number" and value == int(value)
    return bool(wanted == "number" and found == "integer")


def _validate_enum(schema: Schema, value: Any, errors: Errors, path: Path) -> None:
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        errors.not_supported(path, value, [v if isinstance(v, str) else go_value(v) for v in allowed])


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error:
        return None


def _validate_text(schema: Schema, value: str, errors: Errors, path: Path, name: str) -> None:
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if most is not None and len(value) > most:
        errors.too_long(path, most)
    if least is not None and len(value) < least:
        errors.invalid(path, value, f"{name} in body should be at least {least} chars long")
    if pattern and (compiled := _pattern(pattern)) and not compiled.search(value):
        errors.invalid(path, value, f"{name} in body should match '{pattern}'")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _validate_number(schema: Schema, value: float, errors: Errors, path: Path, name: str) -> None:
    whole = schema.get("type") == "integer"
    for bound, word in (("maximum", "Maximum"), ("minimum", "Minimum")):
        limit = schema.get(bound)
        if limit is None:
            continue
        if whole and limit != int(limit):
            errors.invalid(path, "", f"{word} boundary value must be of type integer (default format) in {name}")
        exclusive = bool(schema.get(f"exclusive{word}"))
        over = value > limit if bound == "maximum" else value < limit
        if over or (exclusive and value == limit):
            side = "less than" if bound == "maximum" else "greater than"
            text = f"{name} in body should be {side}{'' if exclusive else ' or equal to'} {_number(limit)}"
            errors.invalid(path, value, text)
    factor = schema.get("multipleOf")
    if factor and (value / factor) != int(value / factor):
        errors.invalid(path, value, f"{name} in body should be a multiple of {_number(factor)}")


def _validate_list(schema: Schema, value: list[Any], errors: Errors, path: Path, name: str) -> None:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if most is not None and len(value) > most:
        errors.too_many(path, len(value), most)
    if least is not None and len(value) < least:
        errors.invalid(path, len(value), f"{name} in body should have at least {least} items")
    items = schema.get("items")
    if isinstance(items, dict):
        for i, item in enumerate(value):
            validate_value(items, item, errors, path.index(i), f"{name}[{i}]")


def _validate_object(schema: Schema, value: dict[str, Any], errors: Errors, path: Path, name: str) -> None:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if most is not None and len(value) > most:
        errors.too_many(path, len(value), most)
    if least is not None and len(value) < least:
        errors.invalid(path, len(value), f"{name} in body should have at least {least} properties")
    for field in schema.get("required") or ():
        if field not in value:
            errors.required(path.child(field))
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    for field, inner in value.items():
        inner_name = f"{name}.{field}" if name else field
        if field in properties:
            validate_value(properties[field], inner, errors, path.child(field), inner_name)
        elif isinstance(additional, dict):
            validate_value(additional, inner, errors, path.key(field), inner_name)


def _fits(schema: Schema, value: Any) -> bool:
    errors = Errors()
    validate_value(schema, value, errors, Path("value"))
    return not errors


def _validate_junctors(schema: Schema, value: Any, errors: Errors, path: Path, name: str) -> None:
    for inner in schema.get("allOf") or ():
        validate_value(inner, value, errors, path, name)
    shown = value if isinstance(value, str | int | float) else ""
    if schema.get("anyOf") and not any(_fits(inner, value) for inner in schema["anyOf"]):
        errors.invalid(path, shown, f'"{name}" must validate at least one schema (anyOf)')
    if schema.get("oneOf"):
        fitting = sum(_fits(inner, value) for inner in schema["oneOf"])
        if fitting != 1:
            found = "valid none" if not fitting else f"valid {fitting} schemas"
            errors.invalid(path, shown, f'"{name}" must validate one and only one schema (oneOf). Found {found}')
    if isinstance(schema.get("not"), dict) and _fits(schema["not"], value):
        errors.invalid(path, shown, f'"{name}" must not validate the schema (not)')
