"""Type stubs for the group packages, so that editors and mypy know the fields of every object.

Run by the build hook; the stubs are never committed.
"""

from __future__ import annotations

from pathlib import Path

from kybern.api import schema, types
from kybern.api.schema import Definition, Field, Type

__all__ = ["write"]

_SCALARS = {
    "string": "builtins.str",
    "bytes": "builtins.bytes",
    "time": "builtins.str",
    "micro-time": "builtins.str",
    "int32": "builtins.int",
    "int64": "builtins.int",
    "boolean": "builtins.bool",
    "double": "builtins.float",
    "quantity": "builtins.str",
    "int-or-string": "builtins.int | builtins.str",
    "any": "Any",
}
"""With their module in front: DeviceAttribute has fields called `int` and `string`."""


def write(folder: Path) -> list[Path]:
    """Write one `__init__.pyi` per group below `folder` (kybern/api); returns the files."""
    homes = {full: package for package in schema.GROUPS for full in _definitions(package)}
    written = []
    for package in schema.GROUPS:
        path = folder / package / "__init__.pyi"
        path.write_text(_stub(package, homes))
        written.append(path)
    return written


def _definitions(package: str) -> list[str]:
    prefix, version, _ = schema.GROUPS[package]
    start = f"{prefix}.{version}."
    return [name for name in schema.names() if name.startswith(start)]


def _stub(package: str, homes: dict[str, str]) -> str:
    imports: set[str] = set()
    classes = [_class(schema.definition(name), package, homes, imports) for name in _definitions(package)]
    head = ["import builtins", "from typing import Any", "", "import msgspec", ""]
    head += [f"import kybern.api.{other}" for other in sorted(imports)]
    return "\n".join([*head, "", "", "\n\n".join(classes), ""])


def _class(d: Definition, package: str, homes: dict[str, str], imports: set[str]) -> str:
    lines = [f"class {d.short}(msgspec.Struct, kw_only=True):"]
    for field in d.fields.values():
        text = _text(field.type, package, homes, imports)
        text, default = (text, "= ...") if _never_none(d, field) else (f"{text} | None", "= ...")
        lines.append(f"    {types.python_name(field.name)}: {text} {default}")
    if not d.fields:
        lines.append("    pass")
    return "\n".join(lines)


def _never_none(d: Definition, field: Field) -> bool:
    if d.group_version_kinds and field.name in ("apiVersion", "kind"):
        return True
    scalar = field.type.kind in ("string", "int32", "int64", "boolean", "double", "quantity", "int-or-string")
    return types.is_value_struct(d, field) or (scalar and types.is_always_written(d, field))


def _text(type_: Type, package: str, homes: dict[str, str], imports: set[str]) -> str:
    if type_.kind == "struct":
        home = homes.get(type_.ref)
        if home is None:
            return "Any"
        name = type_.ref.rsplit(".", 1)[1]
        if home == package:
            return name
        imports.add(home)
        return f"kybern.api.{home}.{name}"
    if type_.kind in ("list", "map") and type_.item is not None:
        item = _text(type_.item, package, homes, imports)
        return f"list[{item}]" if type_.kind == "list" else f"dict[builtins.str, {item}]"
    return _SCALARS[type_.kind]
