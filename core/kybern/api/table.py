"""Pieces of the tables that `kubectl get` shows: common columns, and cells made from common values.

The kinds' `columns` and `row` are built from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.api.kind import Column
from kybern.api.time import human_duration, parse_time

__all__ = [
    "AGE",
    "CREATED_AT",
    "NAME",
    "NONE",
    "UNSET",
    "age",
    "joined",
    "labels",
    "name_and_age",
    "name_and_creation",
    "selector",
]

NAME = Column("Name", format="name", field="ObjectMeta.name")
AGE = Column("Age", field="ObjectMeta.creationTimestamp")
CREATED_AT = Column("Created At", type="date", field="ObjectMeta.creationTimestamp")

NONE = "<none>"
UNSET = "<unset>"


def age(timestamp: str | None, now: float) -> str:
    """How long ago that was, as in an AGE column."""
    return human_duration(now - parse_time(timestamp)) if timestamp else "<unknown>"


def name_and_age(obj: Any, now: float) -> list[Any]:
    """The row of a kind with nothing else to show."""
    return [obj.metadata.name, age(obj.metadata.creationTimestamp, now)]


def name_and_creation(obj: Any, now: float) -> list[Any]:
    """The row of a kind whose table only has the generic columns."""
    return [obj.metadata.name, obj.metadata.creationTimestamp]


def labels(found: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in the order of keys."""
    return ",".join(f"{key}={value}" for key, value in sorted((found or {}).items())) or NONE


def selector(label_selector: Any | None) -> str:
    """A LabelSelector as text."""
    if label_selector is None:
        return NONE
    from kybern.api import selectors

    try:
        return str(selectors.from_label_selector(label_selector)) or NONE
    except ValueError:
        return "<error>"


def joined(values: Iterable[str] | None) -> str:
    """Values with commas between, or `<none>`."""
    return ",".join(values or ()) or NONE
