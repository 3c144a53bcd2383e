"""How upstream's API server, being written in Go, words what is wrong with a patch."""

from __future__ import annotations

from typing import Any

__all__ = ["go_type", "go_value", "not_an_object"]


def go_type(value: Any) -> str:
    """The name of a JSON value's type in error messages."""
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")


def not_an_object(value: Any) -> str:
    """What is said of a patch that should be an object."""
    return f"json: cannot unmarshal {go_type(value)} into Go value of type map[string]interface {{}}"


def go_value(value: Any) -> str:
    """A JSON value as Go prints one."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{go_value(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_value, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
