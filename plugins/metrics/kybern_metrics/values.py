"""How made-up metrics are written, and what they are worth at a time.

A metric is a quantity or a function of its object's age (`kybern.curve`), or several such series
told apart by labels: `{verb=GET} 200; {verb=POST} ramp(0, 50, 5min)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from kybern.api import quantity
from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.curve import CurveError, curve

__all__ = ["PREFIX", "SOURCE", "series_at", "shown"]

PREFIX = "metrics.kybern.dev/"
"""Annotations `metrics.kybern.dev/<metric>` are custom metrics of their object."""
SOURCE = PREFIX + "source"
"""The label of ConfigMaps that hold external metrics."""

_LABELLED = re.compile(r"\{([^{}]*)\}(.*)", re.DOTALL)
Series = tuple[dict[str, str], str]


def series_at(text: str, created: str | None, now: float, where: str) -> list[tuple[dict[str, str], Fraction]]:
    """(labels, value now) of each series; StatusError 500 that names the place when a text means nothing."""
    age = now - parse_time(created) if created else 0.0
    try:
        return [(labels, _rounded(curve(term).at({"t": age, "now": now}))) for labels, term in _series(text)]
    except CurveError as error:
        raise StatusError.internal(f"{where}: {error}") from None


def _rounded(value: float) -> Fraction:
    return Fraction(round(value * 1000), 1000)


def shown(value: Fraction) -> str:
    """A value as the metrics APIs show it."""
    return quantity.format(value, "DecimalSI")


@lru_cache(maxsize=4096)
def _series(text: str) -> tuple[Series, ...]:
    return tuple(_read(text))


def _read(text: str) -> Iterator[Series]:
    for part in text.split(";"):
        found = _LABELLED.fullmatch(part.strip())
        yield (_labels(found[1]), found[2]) if found is not None else ({}, part)


def _labels(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(equals and key.strip() for key, equals, _ in pairs):
        raise CurveError(f"{{{text}}}: labels are written {{verb=GET,code=200}}")
    return {key.strip(): value.strip().strip('"') for key, _, value in pairs}
