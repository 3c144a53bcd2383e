"""The table that `make bench` prints: each measure with what the reference needs and what Kybern must reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Row", "limit", "render"]


class Row(NamedTuple):
    """One line: texts for people, and whether the budget is met."""

    measure: str
    reference: str
    budget: str
    kybern: str
    met: bool | None
    """None: there is no budget for this figure."""


def limit(value: float, *, at_most: float | None = None, at_least: float | None = None) -> bool:
    """Whether a figure keeps its budget."""
    return (at_most is None or value <= at_most) and (at_least is None or value >= at_least)


def render(rows: Sequence[Row]) -> str:
    """The table in Markdown, aligned for a terminal."""
    cells = [("measure", "reference", "Kybern must", "Kybern", "met")]
    cells += [(*row[:4], {True: "yes", False: "NO", None: ""}[row.met]) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
