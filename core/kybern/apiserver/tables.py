"""Tables: what `kubectl get` prints, made by the server from a kind's columns and row function."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from kybern.api import schema, types
from kybern.api.kind import Column, Kind
from kybern.api.table import name_and_age
from kybern.apiserver.resource import Resource, Resources

__all__ = ["Tables"]

log = logging.getLogger(__name__)


class Tables:
    """Renders rows; the column definitions are made once, with the descriptions that the schema has for them."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._columns: dict[int, bytes] = {}

    def columns(self, kind: Kind) -> bytes:
        """The JSON of a kind's `columnDefinitions`."""
        if id(kind) not in self._columns:
            self._describe()
        return self._columns[id(kind)]

    def _describe(self) -> None:
        """The descriptions are large: read them once, for all kinds, and let go of them."""
        texts = schema.descriptions()
        for resource in self._resources:
            kind = resource.kind
            columns = [_definition(column, kind, texts) for column in kind.columns]
            self._columns[id(kind)] = msgspec.json.encode(columns)

    def table(
        self, resource: Resource, objects: Iterable[Any], now: float, *,
        include: str = "Metadata", version: str = "v1", metadata: bytes = b"{}", columns: bool = True,
    ) -> bytes:  # fmt: skip
        """A Table of these (served) objects. `include`: None, Metadata or Object; `metadata`: JSON of the list's."""
        rows = b",".join(self._row(resource, obj, now, include, version) for obj in objects)
        return b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
            version.encode(), metadata, self.columns(resource.kind) if columns else b"null", rows
        )  # fmt: skip

    def _row(self, resource: Resource, obj: Any, now: float, include: str, version: str) -> bytes:
        cells = msgspec.json.encode(_cells(resource.kind, obj, now))
        return b'{"cells":%b,"object":%b}' % (cells, _included(obj, include, version))


def _cells(kind: Kind, obj: Any, now: float) -> list[Any]:
    row = kind.row
    if row is None:
        return name_and_age(obj, now)[: len(kind.columns)]
    try:
        return row(obj, now)
    except Exception:
        # One odd object must not take the whole table away.
        log.exception("no row for %s %s", kind.kind, obj.metadata.name)
        return [obj.metadata.name, *["<error>"] * (len(kind.columns) - 1)]


def _included(obj: Any, include: str, version: str) -> bytes:
    if include == "None":
        return b"null"
    if include == "Object":
        return types.encode(obj)
    return partial(obj, version)


def partial(obj: Any, version: str = "v1") -> bytes:
    """The object's metadata alone, as PartialObjectMetadata. Computed objects are plain data."""
    metadata = obj["metadata"] if type(obj) is dict else obj.metadata
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (
        version.encode(), types.encode(metadata)
    )  # fmt: skip


def _definition(column: Column, kind: Kind, texts: dict[str, tuple[str, dict[str, str]]]) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description or _documented(getattr(column, "field", ""), kind, texts),
        "priority": column.priority,
    }


def _documented(field: str, kind: Kind, texts: dict[str, tuple[str, dict[str, str]]]) -> str:
    """The schema's words about `Definition.field`: of the kind's own group, else of core or meta."""
    short, _, name = field.rpartition(".")
    if not short:
        return ""
    own = schema.find(kind.group, kind.version, kind.kind) or ""
    for prefix in (own.rpartition(".")[0], "io.k8s.api.core.v1", "io.k8s.apimachinery.pkg.apis.meta.v1"):
        _, fields = texts.get(f"{prefix}.{short}", ("", {}))
        if name in fields:
            return fields[name]
    return ""
