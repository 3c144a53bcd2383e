"""The versions of a custom resource: schema, subresources, columns, selectable fields.

Versions that agree in such a part have it once, as upstream stores it, and errors about it stand at
the spec (`spec.validation`, `spec.subresources`); otherwise they stand at the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.apiextensions.field_paths import resolve
from kybern.api.apiextensions.schema_rules import validate_schema
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["plain_schema", "shared", "validate_parts", "validate_version", "versions_shown"]

SPEC = Path("spec")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
SELECTABLE_MAX = 8
SELECTABLE_TYPES = ("boolean", "integer", "string")
PARTS = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
WARNING_MAX = 256


def plain_schema(version: Any) -> dict[str, Any] | None:
    """A version's schema as plain data."""
    if version.schema is None or version.schema.openAPIV3Schema is None:
        return None
    schema: dict[str, Any] = types.to_plain(version.schema.openAPIV3Schema)
    return schema


def shared(versions: Sequence[Any], part: str) -> bool:
    """Whether all versions have the same in this part."""
    return bool(versions) and all(getattr(v, part) == getattr(versions[0], part) for v in versions)


def versions_shown(versions: Sequence[Any] | None) -> Any:
    """The versions in the shape that error messages show: parts that all share are not repeated."""
    if versions is None:
        return None
    return [
        {
            "Name": v.name,
            "Served": bool(v.served),
            "Storage": bool(v.storage),
            "Deprecated": bool(v.deprecated),
            "DeprecationWarning": v.deprecationWarning,
        }
        | {part[0].upper() + part[1:]: None if shared(versions, part) else getattr(v, part) for part in PARTS}
        for v in versions
    ]


def validate_version(version: Any, versions: Sequence[Any], errors: Errors, path: Path) -> None:
    """What is said at the version itself."""
    if faults := names.dns1035_label(version.name):
        errors.invalid(path.child("name"), version.name, ",".join(faults))
    warning = version.deprecationWarning
    if warning is not None:
        _validate_warning(version, warning, errors, path.child("deprecationWarning"))
    schema, status = plain_schema(version), _status_enabled([version])
    if not shared(versions, "schema") and schema is not None:
        validate_schema(schema, errors, path.child("schema", "openAPIV3Schema"), status_enabled=status)
    if not shared(versions, "subresources"):
        _validate_subresources(version.subresources, errors, path.child("subresources"))
    if not shared(versions, "additionalPrinterColumns"):
        _validate_columns(version.additionalPrinterColumns, errors, path.child("additionalPrinterColumns"))
    if not shared(versions, "selectableFields"):
        _validate_selectable(version.selectableFields, schema, errors, path.child("selectableFields"))


def _validate_warning(version: Any, warning: str, errors: Errors, path: Path) -> None:
    if not version.deprecated:
        errors.invalid(path, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > WARNING_MAX:
        errors.invalid(path, warning, f"must be <= {WARNING_MAX} characters long")
    if not warning:
        errors.invalid(path, warning, "must not be an empty string")
    if not warning.isprintable():
        errors.invalid(path, warning, "must only contain printable UTF-8 characters")


def _status_enabled(versions: Sequence[Any]) -> bool:
    return any(v.subresources is not None and v.subresources.status is not None for v in versions)


def validate_parts(versions: Sequence[Any], errors: Errors) -> None:
    """What is said once for all versions."""
    if not versions:
        return
    first = versions[0]
    schema = plain_schema(first)
    if shared(versions, "schema") and schema is not None:
        path = SPEC.child("validation", "openAPIV3Schema")
        validate_schema(schema, errors, path, status_enabled=_status_enabled(versions))
    if shared(versions, "subresources"):
        _validate_subresources(first.subresources, errors, SPEC.child("subresources"))
    if shared(versions, "additionalPrinterColumns"):
        _validate_columns(first.additionalPrinterColumns, errors, SPEC.child("additionalPrinterColumns"))
    if shared(versions, "selectableFields"):
        _validate_selectable(first.selectableFields, schema, errors, SPEC.child("selectableFields"))


def _validate_subresources(subresources: Any | None, errors: Errors, path: Path) -> None:
    if subresources is None or subresources.scale is None:
        return
    scale, at = subresources.scale, path.child("scale")
    for field, below in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        text = getattr(scale, field)
        if not text:
            errors.required(at.child(field))
        elif _is_simple_path(text, errors, at.child(field)) and not text.startswith(f"{below}."):
            errors.invalid(at.child(field), text, f"should be a json path under {below}")
    selector = scale.labelSelectorPath
    at = at.child("labelSelectorPath")
    if selector and _is_simple_path(selector, errors, at) and not selector.startswith((".spec.", ".status.")):
        errors.invalid(at, selector, "should be a json path under either .spec or .status")


def _is_simple_path(text: str, errors: Errors, path: Path) -> bool:
    if text.startswith("."):
        return True
    errors.invalid(path, text, "must be a simple json path starting with .")
    return False


def _validate_columns(columns: Sequence[Any] | None, errors: Errors, path: Path) -> None:
    one_of = f"must be one of {','.join(COLUMN_TYPES)}"
    for i, column in enumerate(columns or ()):
        at = path.index(i)
        if not column.name:
            errors.required(at.child("name"))
        if not column.type:
            errors.required(at.child("type"), one_of)
        elif column.type not in COLUMN_TYPES:
            errors.invalid(at.child("type"), column.type, one_of)
        if column.format and column.format not in COLUMN_FORMATS:
            errors.invalid(at.child("format"), column.format, f"must be one of {','.join(COLUMN_FORMATS)}")
        if not column.jsonPath:
            errors.required(at.child("JSONPath"))
        else:
            _is_simple_path(column.jsonPath, errors, at.child("JSONPath"))


def _validate_selectable(
    fields: Sequence[Any] | None, schema: dict[str, Any] | None, errors: Errors, path: Path
) -> None:
    if not fields:
        return
    if schema is None:
        errors.invalid(path, "", "may only be set when validations.schema is included")
        return
    seen: set[str] = set()
    for i, field in enumerate(fields):
        _validate_selectable_field(field.jsonPath, schema, seen, errors, path.index(i).child("jsonPath"))
    if len(seen) > SELECTABLE_MAX:
        errors.too_many(path, len(seen), SELECTABLE_MAX)


def _validate_selectable_field(text: str, schema: dict[str, Any], seen: set[str], errors: Errors, path: Path) -> None:
    if not text:
        errors.required(path)
        return
    first, found, fault = resolve(text, schema)
    if fault:
        errors.invalid(path, text, f"is an invalid path: {fault}")
        return
    if first == "metadata":
        errors.invalid(path, text, "must not point to fields in metadata")
    if found is None or found.get("type") not in SELECTABLE_TYPES:
        wanted = "must point to a field of type string, boolean or integer."
        errors.invalid(path, text, f"{wanted} Enum string fields and strings with formats are allowed.")
    if text in seen:
        errors.duplicate(path, text)
    seen.add(text)
