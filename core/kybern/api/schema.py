"""The schema table: every definition of the Kubernetes API, from the data file the build hook made.

Struct types, pruning, strict decoding, merge keys and OpenAPI all read from here. Loaded once, on
first use, in about 10 ms.
"""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["GROUPS", "Definition", "Field", "Type", "definition", "descriptions", "find", "names"]

_DATA = Path(__file__).parent / "_schema"

GROUPS: dict[str, tuple[str, str, str]] = {
    "core": ("io.k8s.api.core", "v1", ""),
    "meta": ("io.k8s.apimachinery.pkg.apis.meta", "v1", "meta"),
    "apiextensions": ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions", "v1", "apiextensions.k8s.io"),
    "apiregistration": ("io.k8s.kube-aggregator.pkg.apis.apiregistration", "v1", "apiregistration.k8s.io"),
    "apps": ("io.k8s.api.apps", "v1", "apps"),
    "batch": ("io.k8s.api.batch", "v1", "batch"),
    "policy": ("io.k8s.api.policy", "v1", "policy"),
    "autoscaling": ("io.k8s.api.autoscaling", "v2", "autoscaling"),
    "rbac": ("io.k8s.api.rbac", "v1", "rbac.authorization.k8s.io"),
    "flowcontrol": ("io.k8s.api.flowcontrol", "v1", "flowcontrol.apiserver.k8s.io"),
} | {
    group: (f"io.k8s.api.{group}", "v1", f"{group}.k8s.io")
    for group in (
        "networking", "discovery", "events", "storage", "certificates", "coordination", "node", "scheduling",
        "admissionregistration", "resource", "authentication", "authorization", "storagemigration",
    )
}  # fmt: skip
"""Package below `kybern.api` -> (definition prefix, its version, API group)."""


class Type(msgspec.Struct, frozen=True):
    """What a value is. `kind`: string bytes time micro-time int32 int64 boolean double quantity int-or-string any,
    or struct (`ref` names its definition), list and map (`item` is what they hold)."""

    kind: str
    ref: str = ""
    item: Type | None = None


class Field(msgspec.Struct, frozen=True):
    """One field of a definition."""

    name: str
    type: Type
    required: bool
    list_type: str = ""
    """atomic, set, map or empty."""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategy: str = ""
    """merge, replace, retainKeys, or two joined by a comma."""
    patch_merge_key: str = ""


class Definition(msgspec.Struct, frozen=True):
    """One definition: a struct of named fields."""

    name: str
    """Full name, `io.k8s.api.core.v1.Pod`."""
    fields: dict[str, Field]
    group_version_kinds: tuple[tuple[str, str, str], ...]
    map_type: str = ""

    @property
    def short(self) -> str:
        """`Pod`."""
        return self.name.rsplit(".", 1)[1]

    @property
    def version(self) -> str:
        """`v1`."""
        return self.name.rsplit(".", 2)[1]


def _load(file: str) -> Any:
    path = _DATA / file
    if not path.exists():
        raise RuntimeError(f"{path} is missing: install kybern (pip install -e .) so that its build hook makes it")
    return msgspec.json.decode(zlib.decompress(path.read_bytes()))


@cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = _load("schema.json.z")
    return data


def names() -> list[str]:
    """Full names of all definitions."""
    return list(_table())


@cache
def definition(name: str) -> Definition:
    """The definition of a full name; KeyError when there is none."""
    raw = _table()[name]
    required = frozenset(raw["required"])
    fields = {f: _field(f, kind, extras, f in required) for f, (kind, extras) in raw["fields"].items()}
    return Definition(name, fields, tuple((g[0], g[1], g[2]) for g in raw["gvk"]), raw["map_type"])


def _field(name: str, kind: Any, extras: dict[str, Any], required: bool) -> Field:
    if "list_keys" in extras:
        extras = {**extras, "list_keys": tuple(extras["list_keys"])}
    return Field(name, _type(kind), required, **extras)


def _type(raw: Any) -> Type:
    if isinstance(raw, str):
        return Type(raw)
    if raw[0] == "struct":
        return Type("struct", ref=raw[1])
    return Type(raw[0], item=_type(raw[1]))


@cache
def _by_kind() -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for name, raw in _table().items():
        for group, version, kind in raw["gvk"]:
            # DeleteOptions and WatchEvent claim every group; the meta group's own is theirs.
            found.setdefault((group, version, kind), name)
    return found


def find(group: str, version: str, kind: str) -> str | None:
    """Full definition name of a kind; also of plain types of a built-in group (`PodSpec`)."""
    if name := _by_kind().get((group, version, kind)):
        return name
    for prefix, _, api_group in GROUPS.values():
        if api_group == group and (name := f"{prefix}.{version}.{kind}") in _table():
            return name
    return None


def descriptions() -> dict[str, tuple[str, dict[str, str]]]:
    """Full name -> (description, field -> description). Large; for OpenAPI only, and not kept."""
    return {name: (text, fields) for name, (text, fields) in _load("descriptions.json.z").items()}
