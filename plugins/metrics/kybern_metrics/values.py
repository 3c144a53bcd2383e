"""How made-up metrics are written, and what they are worth at a time."""

from __future__ import annotations

from fractions import Fraction

from kybern.api import quantity
from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.curve import CurveError, curve

__all__ = ["PREFIX", "SOURCE", "value_at"]

PREFIX = "metrics.kybern.dev/"
"""Annotations `metrics.kybern.dev/<metric>` are custom metrics of their object."""
SOURCE = PREFIX + "source"
"""The label of ConfigMaps that hold external metrics."""


def value_at(text: str, created: str | None, now: float, where: str) -> str:
    """The quantity that a text stands for now; StatusError 500 that names the place when it means nothing."""
    try:
        found = curve(text)
    except CurveError as error:
        raise StatusError.internal(f"{where}: {error}") from None
    age = now - parse_time(created) if created else 0.0
    return quantity.format(Fraction(round(found.at({"t": age, "now": now}) * 1000), 1000), "DecimalSI")
