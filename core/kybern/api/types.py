"""Typed objects: one msgspec Struct class per definition of the schema table, made on first use.

Import the classes from their group: `from kybern.api.core import Pod, PodSpec`. Field names are
the JSON names. What Go calls a pointer is None when absent; what Go calls a value is None when it
has the zero value, so that `if pod.spec.hostNetwork:` is all a reader needs. `normalize` brings
decoded objects into that form; `shape.py` holds the facts it needs.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Annotated, Any, TypeVar

import msgspec

from kybern.api import quantity, schema, shape
from kybern.api.kind import Kind
from kybern.api.schema import Definition, Field, Type
from kybern.api.time import canonical_micro_time, canonical_time

T = TypeVar("T")

__all__ = [
    "attribute", "copy", "decode", "definition_of", "encode", "from_plain", "kind_of", "normalize", "python_name",
    "struct", "struct_for", "struct_of", "to_plain",
]  # fmt: skip

_MODULE = "kybern.api.structs"
_structs = ModuleType(_MODULE, "Home of the generated Struct classes; import them from their group's package.")
_space = _structs.__dict__
sys.modules[_MODULE] = _structs
_int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_space.update(
    k_string=str, k_bytes=bytes, k_time=str, k_micro_time=str, k_int32=_int32,
    k_int64=Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)], k_boolean=bool, k_double=float,
    k_quantity=str | int | float, k_int_or_string=_int32 | str, k_any=Any, k_list=list, k_dict=dict,
)  # fmt: skip
# Annotations use these names because a field called `int` or `string` (DeviceAttribute) would hide the builtin.
_ZERO: dict[str, Any] = {
    "string": "", "bytes": None, "time": None, "micro-time": None, "int32": 0, "int64": 0, "boolean": False,
    "double": 0.0, "quantity": "0", "int-or-string": 0, "any": None, "list": None, "map": None,
}  # fmt: skip


def python_name(field: str) -> str:
    """The attribute that holds a JSON field: `from` -> `from_`, `$ref` -> `ref_`, `x-a` -> `x_a`."""
    name = field.replace("-", "_")
    if name.startswith("$"):
        return name[1:] + "_"
    return name + "_" if keyword.iskeyword(name) else name


def _global_name(definition: str) -> str:
    return definition.replace(".", "_").replace("-", "_")


def _annotation(type_: Type) -> str:
    if type_.kind == "struct":
        return _global_name(type_.ref)
    if type_.kind == "list":
        return f"k_list[{_annotation(type_.item)}]" if type_.item else "k_list"
    if type_.kind == "map":
        return f"k_dict[k_string, {_annotation(type_.item)}]" if type_.item else "k_dict"
    return "k_" + type_.kind.replace("-", "_")


def _is_fact(facts: frozenset[str], d: Definition, field: str) -> bool:
    """Whether shape.py says it of this field, by its short or by its qualified name (`core/v1.Event.reason`)."""
    group, version = d.name.split(".")[-3:-1]
    return f"{d.short}.{field}" in facts or f"{group}/{version}.{d.short}.{field}" in facts


def is_value_struct(d: Definition, field: Field) -> bool:
    """Whether the field is a struct that Go holds by value: never None and always written."""
    if field.type.kind != "struct":
        return False
    if _is_fact(shape.POINTER_STRUCTS, d, field.name):
        return False
    metadata = field.type.ref.endswith((".v1.ObjectMeta", ".v1.ListMeta"))
    return field.required or metadata or _is_fact(shape.VALUE_STRUCTS, d, field.name)


def is_always_written(d: Definition, field: Field) -> bool:
    """Whether the field is encoded even when it has its zero value."""
    if _is_fact(shape.POINTER_STRUCTS, d, field.name):
        return False
    if field.required or is_value_struct(d, field):
        return True
    return _is_fact(shape.ALWAYS, d, field.name) or _is_fact(shape.ZERO_QUANTITIES, d, field.name)


def zero_of(d: Definition, field: Field) -> Any:
    """What an absent field that is always written is written as."""
    return None if is_pointer(d, field) else _ZERO.get(field.type.kind)


def is_pointer(d: Definition, field: Field) -> bool:
    """Whether an explicit zero value is kept."""
    return _is_fact(shape.POINTERS, d, field.name)


def _type_meta(d: Definition, field: Field) -> str:
    """The one value of a kind's `apiVersion` or `kind` field; empty for all other fields."""
    if not d.group_version_kinds or field.name not in ("apiVersion", "kind"):
        return ""
    group, version, kind = d.group_version_kinds[0]
    return kind if field.name == "kind" else f"{group}/{version}" if group else version


def _default(d: Definition, field: Field) -> Any:
    """The default of a Struct field. msgspec leaves out plain defaults on encoding, but writes what a factory made."""
    if text := _type_meta(d, field):
        return msgspec.field(default_factory=lambda: text)
    if is_value_struct(d, field):
        ref = field.type.ref
        return msgspec.field(default_factory=lambda: struct_for(ref)())
    if is_always_written(d, field):
        zero = zero_of(d, field)
        return msgspec.field(default_factory=lambda: zero)
    return None


@cache
def struct_for(definition: str) -> type[Any]:
    """The Struct class of a definition's full name; KeyError when there is none."""
    _define(definition)
    made: type[Any] = _space[_global_name(definition)]
    return made


def _define(root: str) -> None:
    """Define a Struct and all it refers to. Annotations are names in the module, so cycles are no matter."""
    todo = [root]
    while todo:
        name = todo.pop()
        if _global_name(name) in _space:
            continue
        d = schema.definition(name)
        _space[_global_name(name)] = _make(d)
        todo.extend(f.ref for f in (_leaf(x.type) for x in d.fields.values()) if f.kind == "struct")


def _leaf(type_: Type) -> Type:
    while type_.item is not None:
        type_ = type_.item
    return type_


_FIRST = {"kind": 0, "apiVersion": 1, "metadata": 2}


def _make(d: Definition) -> type[Any]:
    fields: list[Any] = []
    rename: dict[str, str] = {}
    for field in sorted(
        d.fields.values(), key=lambda f: (_FIRST.get(f.name, 3) if d.group_version_kinds else 0, f.name)
    ):
        attribute_ = python_name(field.name)
        if attribute_ != field.name:
            rename[attribute_] = field.name
        fields.append((attribute_, f"{_annotation(field.type)} | None", _default(d, field)))
    return msgspec.defstruct(
        d.short,
        fields,
        module=_MODULE,
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
        rename=rename or None,
        gc=False,
        namespace={"__definition__": d.name},
    )


def attribute(package: str, name: str) -> Any:
    """For `__getattr__` of the group packages: the Struct class of that name; AttributeError when there is none."""
    prefix, version, _ = schema.GROUPS[package]
    full = f"{prefix}.{version}.{name}"
    if not name.startswith("_"):
        try:
            made = struct_for(full)
        except KeyError:
            pass
        else:
            # functions on hot paths import what they need by name; from now on that is found without asking here
            setattr(sys.modules[f"{__package__}.{package}"], name, made)
            return made
    raise AttributeError(f"module 'kybern.api.{package}' has no attribute {name!r}")


def struct(group: str, version: str, kind: str) -> type[Any]:
    """The Struct class of a kind; KeyError when the schema has none."""
    name = schema.find(group, version, kind)
    if name is None:
        raise KeyError(f"no definition of kind {kind!r} in {group or 'core'}/{version}")
    return struct_for(name)


def struct_of(kind: Kind) -> type[Any]:
    """The Struct class of a registered kind."""
    return struct_for(kind.definition) if kind.definition else struct(kind.group, kind.version, kind.kind)


def definition_of(cls: type[Any]) -> Definition:
    """The definition a Struct class was made from."""
    return schema.definition(cls.__definition__)


def kind_of(thing: Any) -> Kind:
    """The registered Kind of a Struct class or object; KeyError when it is not a served kind."""
    from kybern.api import registry

    cls = thing if isinstance(thing, type) else type(thing)
    return registry.builtin().of_struct(cls)


def _per_class(make: Callable[[Any], T]) -> Callable[[Any], T]:
    """`functools.cache` for functions of a class, which type checkers do not take for hashable."""
    return cache(make)


_encoder = msgspec.json.Encoder()
encode: Callable[[Any], bytes] = _encoder.encode
"""Object -> JSON bytes."""


@_per_class
def _decoder(cls: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


def decode(cls: type[T], data: bytes) -> T:
    """Trusted JSON bytes -> object. Unknown fields (of a newer version) are dropped; StatusError when it is none."""
    try:
        obj: T = _decoder(cls).decode(data)
    except msgspec.MsgspecError:
        from kybern.api import decode as reading

        return reading.lenient(cls, data)
    normalize(obj)
    return obj


def decode_exact(cls: type[T], data: bytes) -> T:
    """Bytes that `encode` made -> object; nothing is checked twice."""
    obj: T = _decoder(cls).decode(data)
    return obj


def copy(obj: T) -> T:
    """A deep copy that may be changed."""
    copied: T = _decoder(type(obj)).decode(_encoder.encode(obj))
    return copied


def to_plain(obj: Any) -> Any:
    """Object -> dicts, lists and scalars, as JSON would show it."""
    return msgspec.to_builtins(obj)


def from_plain(cls: type[T], data: Any) -> T:
    """Plain data -> object; unknown fields are dropped."""
    try:
        obj = msgspec.convert(data, cls)
    except msgspec.ValidationError:
        from kybern.api import decode as reading

        return reading.lenient(cls, data)
    normalize(obj)
    return obj


def normalize(obj: Any) -> None:
    """Bring a decoded object into canonical form, in place: zero values of non-pointers become None, quantities and
    times canonical. ValueError (with upstream's words) when a quantity or time is none."""
    _normalizer(type(obj))(obj)


@_per_class
def _normalizer(cls: Any) -> Callable[[Any], None]:
    """A function made for one Struct class: straight-line code, because every write runs it."""
    d = definition_of(cls)
    space: dict[str, Any] = {
        "quantity": quantity.canonical, "time": canonical_time, "micro": canonical_micro_time,
    }  # fmt: skip
    lines = ["def normalize(o):"]
    for field in d.fields.values():
        lines += _normalize_lines(d, field, space)
    lines.append("    return None")
    exec("\n".join(lines), space)
    made: Callable[[Any], None] = space["normalize"]
    return made


class _later:
    """The normalizer of a definition, found at its first use, so that recursive definitions are no matter.
    From then on its own function stands in its place among the names of its user."""

    def __init__(self, ref: str, name: str, space: dict[str, Any]) -> None:
        self.ref, self.name, self.space = ref, name, space

    def __call__(self, obj: Any) -> None:
        found = self.space[self.name] = _normalizer(struct_for(self.ref))
        found(obj)


def _normalize_lines(d: Definition, field: Field, space: dict[str, Any]) -> list[str]:
    name, kind = python_name(field.name), field.type.kind
    get, put = f"    v = o.{name}", f"o.{name}"
    always, pointer = is_always_written(d, field), is_pointer(d, field)
    if kind == "any":
        return []
    if text := _type_meta(d, field):
        return [f"    if not {put}: {put} = {text!r}"]
    if kind in ("time", "micro-time"):
        call = "time" if kind == "time" else "micro"
        return [get, f"    if v is not None: {put} = {call}(v)"]
    if kind == "quantity":
        zero = [f"    else: {put} = '0'"] if always else []
        return [get, f"    if v is not None: {put} = quantity(v)", *zero]
    if kind == "struct":
        function = _function(field.type, space)
        make = [f"    else: {put} = make_{function}()"] if is_value_struct(d, field) else []
        return [get, f"    if v is not None: {function}(v)", *make]
    if kind in ("list", "map"):
        return [get, *_normalize_items(field, space, put, drop=not pointer and (kind == "list" or not always))]
    if always:
        return [f"    if {put} is None: {put} = {zero_of(d, field)!r}"]
    if pointer or kind == "int-or-string":
        return []
    return [get, f"    if v is not None and not v: {put} = None"]


def _normalize_items(field: Field, space: dict[str, Any], put: str, *, drop: bool) -> list[str]:
    item = field.type.item
    assert item is not None
    values = "v.values()" if field.type.kind == "map" else "v"
    lines = []
    if item.kind == "struct":
        lines = ["    if v:", f"        for x in {values}: {_function(item, space)}(x)"]
    elif item.kind == "quantity" and field.type.kind == "map":
        lines = ["    if v:", "        for k in v: v[k] = quantity(v[k])"]
    if drop:
        lines += [f"    {'elif' if lines else 'if'} v is not None{'' if lines else ' and not v'}: {put} = None"]
    return lines


def _function(type_: Type, space: dict[str, Any]) -> str:
    name = "n_" + _global_name(type_.ref)
    if name not in space:
        space[name] = _later(type_.ref, name, space)
        space["make_" + name] = struct_for(type_.ref)
    return name
