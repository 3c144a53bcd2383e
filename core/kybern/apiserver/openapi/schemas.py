"""Definitions of the schema table as OpenAPI schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api import schema
from kybern.api.kind import Kind
from kybern.api.schema import Definition, Field, Type

__all__ = ["QUANTITY", "Writer"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_TIME, _MICRO_TIME = f"{_META}.Time", f"{_META}.MicroTime"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

_SCALARS: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "boolean": {"type": "boolean"},
    "double": {"type": "number", "format": "double"},
    "any": {"type": "object"},
}
_NAMED = {"quantity": QUANTITY, "int-or-string": _INT_OR_STRING, "time": _TIME, "micro-time": _MICRO_TIME}
_ZERO: dict[str, Any] = {"string": "", "int32": 0, "int64": 0, "boolean": False, "double": 0}

Texts = dict[str, tuple[str, dict[str, str]]]


class Writer:
    """Writes the schemas of one document and remembers which definitions it refers to."""

    def __init__(self, texts: Texts, kinds: Iterable[Kind] = (), *, v3: bool) -> None:
        """`texts`: descriptions of definitions and fields; `kinds`: those of the document, some of which bring their
        own."""
        own = [d for kind in kinds if kind.computed is not None for d in kind.computed.described]
        self._own = {d.definition.name: d.definition for d in own}
        self._texts = texts | {d.definition.name: (d.text, dict(d.fields)) for d in own}
        self._v3 = v3
        self._base = "#/components/schemas/" if v3 else "#/definitions/"
        self._pending: list[str] = []
        self.schemas: dict[str, dict[str, Any]] = {}

    def reference(self, name: str) -> dict[str, Any]:
        """A reference to a definition, which is then written as well."""
        if name not in self.schemas:
            self.schemas[name] = {}
            self._pending.append(name)
        return {"$ref": self._base + name}

    def finish(self) -> dict[str, dict[str, Any]]:
        """All schemas referred to so far, and what those refer to, by name."""
        while self._pending:
            name = self._pending.pop()
            self.schemas[name] = self._simple(name) or self._struct(self._own.get(name) or schema.definition(name))
        return dict(sorted(self.schemas.items()))

    def _simple(self, name: str) -> dict[str, Any] | None:
        if name == QUANTITY:
            return {"description": "A fixed-point number with a suffix, such as 500m or 1Gi."} | self._either(
                "string", "number"
            )
        if name == _INT_OR_STRING:
            return self._either("integer", "string") | {"format": "int-or-string"}
        if name in (_TIME, _MICRO_TIME):
            return {"type": "string", "format": "date-time"}
        return None

    def _either(self, *kinds: str) -> dict[str, Any]:
        return {"oneOf": [{"type": kind} for kind in kinds]} if self._v3 else {"type": "string"}

    def _struct(self, d: Definition) -> dict[str, Any]:
        description, fields = self._texts.get(d.name, ("", {}))
        made: dict[str, Any] = {"type": "object"}
        if description:
            made["description"] = description
        if d.fields:
            made["properties"] = {f.name: self._field(f, fields.get(f.name, "")) for f in _sorted(d.fields.values())}
        required = sorted(f.name for f in d.fields.values() if f.required)
        if required:
            made["required"] = required
        if d.group_version_kinds:
            made["x-kubernetes-group-version-kind"] = [
                {"group": g, "kind": k, "version": v} for g, v, k in d.group_version_kinds
            ]
        if d.map_type:
            made["x-kubernetes-map-type"] = d.map_type
        return made

    def _field(self, field: Field, description: str) -> dict[str, Any]:
        made = self._type(field.type)
        if "$ref" in made and self._v3:
            # A $ref may have no siblings in OpenAPI 3.0, so what is said beside it wraps it.
            made = {"allOf": [made], **({"default": {}} if field.type.kind == "struct" else {})}
        if description:
            made["description"] = description
        if self._v3 and field.required and field.type.kind in _ZERO:
            made["default"] = _ZERO[field.type.kind]
        return made | _extensions(field)

    def _type(self, type_: Type) -> dict[str, Any]:
        if type_.kind == "struct":
            return self.reference(type_.ref)
        if type_.kind in _NAMED:
            return self.reference(_NAMED[type_.kind])
        if type_.kind == "list":
            return {"type": "array", "items": self._item(type_.item)}
        if type_.kind == "map":
            return {"type": "object", "additionalProperties": self._item(type_.item)}
        return dict(_SCALARS[type_.kind])

    def _item(self, item: Type | None) -> dict[str, Any]:
        if item is None:
            return {}
        made = self._type(item)
        if not self._v3:
            return made
        if "$ref" in made:
            return {"allOf": [made], **({"default": {}} if item.kind == "struct" else {})}
        return made | ({"default": _ZERO[item.kind]} if item.kind in _ZERO else {})


def _sorted(fields: Iterable[Field]) -> list[Field]:
    return sorted(fields, key=lambda f: f.name)


def _extensions(field: Field) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if field.list_keys:
        made["x-kubernetes-list-map-keys"] = list(field.list_keys)
    if field.list_type:
        made["x-kubernetes-list-type"] = field.list_type
    if field.map_type:
        made["x-kubernetes-map-type"] = field.map_type
    if field.patch_merge_key:
        made["x-kubernetes-patch-merge-key"] = field.patch_merge_key
    if field.patch_strategy:
        made["x-kubernetes-patch-strategy"] = field.patch_strategy
    return made
