"""The `autoscaling` API group: its Struct classes, and one module per kind."""

from __future__ import annotations

from typing import Any

from kybern.api import types


def __getattr__(name: str) -> Any:
    return types.attribute("autoscaling", name)
