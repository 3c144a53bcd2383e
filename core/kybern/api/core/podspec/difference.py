"""Shows where two objects differ, for the error that refuses a change: a unified diff of their JSON."""

from __future__ import annotations

import difflib
import json
from itertools import islice
from typing import Any

from kybern.api import types

__all__ = ["difference"]


def difference(old: Any, new: Any) -> str:
    """Lines of the old object with `-`, of the new one with `+`, each hunk with its place."""
    before, after = (_lines(types.to_plain(obj)) for obj in (old, new))
    lines = difflib.unified_diff(before, after, lineterm="")
    return "".join(line + "\n" for line in islice(lines, 2, None))


def _lines(plain: Any) -> list[str]:
    return json.dumps(_capitalized(plain), indent=1).split("\n")


def _capitalized(plain: Any) -> Any:
    """Keys as Go names the fields, which is how these messages have always shown them."""
    if isinstance(plain, dict):
        return {key[:1].upper() + key[1:]: _capitalized(value) for key, value in plain.items()}
    return [_capitalized(item) for item in plain] if isinstance(plain, list) else plain
