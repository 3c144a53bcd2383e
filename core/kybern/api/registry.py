"""All resources a server serves: the built-in kinds, and what plugins add."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from kybern.api import schema
from kybern.api.kind import Kind

__all__ = ["Registry", "builtin"]


class Registry:
    """Kinds by resource path and by kind."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._by_resource: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str, str], Kind] = {}
        self._by_struct: dict[type[Any], Kind] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve one more kind; ValueError when its resource or kind is taken."""
        resource, name = (kind.group, kind.version, kind.plural), (kind.group, kind.version, kind.kind)
        for taken, key in ((self._by_resource, resource), (self._by_kind, name)):
            if key in taken:
                raise ValueError(f"{'/'.join(key)} is registered twice")
        self._by_resource[resource] = kind
        self._by_kind[name] = kind

    def resource(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind behind a resource path."""
        return self._by_resource.get((group, version, plural))

    def kind(self, group: str, version: str, kind: str) -> Kind | None:
        """The kind of an object's apiVersion and kind."""
        return self._by_kind.get((group, version, kind))

    def of_struct(self, cls: type[Any]) -> Kind:
        """The kind whose objects are of this Struct class; KeyError when none is."""
        found = self._by_struct.get(cls)
        if found is None:
            found = next((k for k in self if k.struct is cls), None)
            if found is None:
                raise KeyError(f"{cls.__name__} is not a served kind")
            self._by_struct[cls] = found
        return found

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_resource.values())

    def __len__(self) -> int:
        return len(self._by_resource)


@cache
def builtin() -> Registry:
    """The built-in kinds: every module of a group's folder that has a `KIND` or `KINDS`."""
    return Registry(kind for package in schema.GROUPS for kind in _kinds_of(package))


def _kinds_of(package: str) -> Iterator[Kind]:
    folder = Path(__file__).parent / package
    for module in sorted(m.name for m in pkgutil.iter_modules([str(folder)])):
        loaded = importlib.import_module(f"kybern.api.{package}.{module}")
        declared = vars(loaded)
        if "KIND" in declared:
            yield declared["KIND"]
        yield from declared.get("KINDS", ())
