"""`meta/v1`: the types that all kinds share (ObjectMeta, LabelSelector, DeleteOptions, ...)."""

from __future__ import annotations

from typing import Any

from kybern.api import types


def __getattr__(name: str) -> Any:
    return types.attribute("meta", name)
