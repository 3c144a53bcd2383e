"""The decode stage of PATCH: which patch a body is, and the change of an object that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from kybern.api import json_text, schema, types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.patch import apply_json_patch, apply_merge_patch, apply_strategic_patch
from kybern.api.patch.strategic import PatchField, PatchSchema
from kybern.api.patch.words import not_an_object
from kybern.apiserver.body import media_type, object_from, plain_yaml
from kybern.apiserver.options import WriteOptions
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.verbs.update import Change

__all__ = ["APPLY", "applied_body", "applied_decoder", "change_of", "patch_change"]

_JSON, _MERGE = "application/json-patch+json", "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


class SchemaFields:
    """A definition of the schema table, as strategic merge patch reads it."""

    def __init__(self, name: str) -> None:
        self._fields = schema.definition(name).fields

    def field(self, name: str) -> PatchField | None:
        """How a field merges."""
        found = self._fields.get(name)
        return _PatchField(found) if found is not None else None


class _PatchField:
    def __init__(self, field: schema.Field) -> None:
        self.merge_key = field.patch_merge_key
        self.strategies: tuple[str, ...] = tuple(field.patch_strategy.split(",")) if field.patch_strategy else ()
        type_ = field.type.item or field.type
        self.schema: PatchSchema | None = _schema(type_.ref) if type_.kind == "struct" else None


@cache
def _schema(definition: str) -> SchemaFields:
    return SchemaFields(definition)


async def change_of(request: Request, struct: type[Any], field_validation: str) -> Change:
    """The change that the request's body describes; StatusError 400, 415 or 422."""
    kind = media_type(request)
    if kind not in (_JSON, _MERGE, _STRATEGIC):
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    data = await request.body()
    plain_patch(data)  # a body that is no JSON is refused before anything is looked up
    return patch_change(kind, data, struct, field_validation, request.warnings)


def plain_patch(data: bytes) -> Any:
    """The body as plain data."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise StatusError.bad_request(f"error decoding patch: {json_text.problem(data)}") from None


def patch_change(kind: str, data: bytes, struct: type[Any], field_validation: str, warnings: list[str]) -> Change:
    """A change that applies a patch. The patch is decoded anew each time, because applying may use up its pieces."""
    definition = types.definition_of(struct).name

    def change(current: Any) -> Any:
        revision = current.metadata.resourceVersion
        target = msgspec.json.decode(types.encode(current))
        patched = _apply(kind, target, plain_patch(data), definition)
        new = _decoded(patched, struct, field_validation, warnings)
        if new.metadata.resourceVersion == revision:
            new.metadata.resourceVersion = None
        return new

    return change


def _apply(kind: str, target: Any, patch: Any, definition: str) -> Any:
    if kind == _JSON:
        return apply_json_patch(target, patch)
    if kind == _MERGE:
        if not isinstance(patch, dict):
            unreadable = f"error decoding patch: {not_an_object(patch)}"
            raise StatusError.bad_request(unreadable if patch is not None else "Invalid JSON Patch")
        return apply_merge_patch(target, patch)
    return apply_strategic_patch(target, patch, _schema(definition))


def _decoded(patched: Any, struct: type[Any], field_validation: str, warnings: list[str]) -> Any:
    data = msgspec.json.encode(patched)
    try:
        return object_from(data, struct, field_validation, warnings, encoded=True)
    except StatusError as error:
        errors = Errors()
        errors.invalid(
            "patch",
            data.decode(),
            error.message.rpartition("cannot be handled as a ")[2].partition(": ")[2] or error.message,
        )
        raise StatusError.invalid("", "", "", errors) from None


async def applied_body(request: Request, options: WriteOptions) -> dict[str, Any]:
    """The body of a server-side apply as plain data; StatusError 400, and 422 without a field manager."""
    if "fieldManager" not in request.query or not options.field_manager:
        errors = Errors()
        errors.required("fieldManager", "is required for apply patch")
        raise StatusError.invalid("PatchOptions", "meta.k8s.io", "", errors)
    plain = plain_yaml(await request.body())
    if not isinstance(plain, dict):
        raise StatusError.bad_request("error decoding YAML: an applied object must be an object")
    return plain


def applied_decoder(request: Request, resource: Resource, options: WriteOptions) -> Callable[[Any], Any]:
    """Reads what is applied, and what comes out of the merge, as the kind's own objects."""

    def decode(plain: Any) -> Any:
        warnings: list[str] = []
        obj = object_from(msgspec.json.encode(plain), resource.struct, options.field_validation, warnings)
        request.warnings.extend(w for w in warnings if w not in request.warnings)
        return obj

    return decode
