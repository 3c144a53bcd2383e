"""`kybern plugins`: every plugin with its seams, version, state and, if off, why."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from kybern import config as settings
from kybern import plugins

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """As a table, or JSON."""
    section = settings.load(Path(args.config) if args.config else None).plugins
    found = plugins.load([*section.enable, *args.enable], [*section.disable, *args.disable])
    if args.output == "json":
        rows = [
            {
                "name": p.name,
                "version": f"{p.distribution} {p.version}",
                "state": p.state,
                "seams": list(p.seams),
                "reason": p.reason,
            }
            for p in found.all
        ]
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAME", "SEAMS", "VERSION", "STATE", "REASON"):
        table.add_column(column, overflow="fold")
    for p in found.all:
        table.add_row(p.name, ", ".join(p.seams), f"{p.distribution} {p.version}", p.state, p.reason)
    Console(soft_wrap=False).print(table)
    return 0
