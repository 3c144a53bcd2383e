"""`kybern clock [show|freeze|resume|advance|rate]`: a test cluster's time."""

from __future__ import annotations

import argparse
import re
import sys
import urllib.parse

import msgspec

from kybern.cli import clusters
from kybern.cli.errors import CommandError
from kybern.cluster.clocks import Shown
from kybern.cluster.state import State

__all__ = ["run"]

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_STRETCH = 0.5
"""Real seconds after which an advance says how far it has come."""


def run(args: argparse.Namespace) -> int:
    """Do what is asked, then show the time."""
    state = clusters.chosen(args.name)
    match args.action:
        case "freeze":
            shown = _ask(state, "POST", rate="0")
        case "resume":
            shown = _ask(state, "POST", rate=_rate(state))
        case "rate":
            shown = _ask(state, "POST", rate=str(args.rate))
        case "advance":
            shown = _advance(state, seconds(args.duration))
        case _:
            shown = _ask(state, "GET")
    print(_text(shown))
    return 0


def _rate(state: State) -> str:
    """The rate that the cluster was configured with, or real time when that is a standstill."""
    return str((state.read().config.get("time") or {}).get("rate") or 1.0)


def _ask(state: State, method: str, **query: str) -> Shown:
    path = "/kybern/clock" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    return msgspec.json.decode(clusters.get(state, clusters.running(state), path, method=method), type=Shown)


def _advance(state: State, seconds: float) -> Shown:
    """Stretch by stretch, so that it can be watched, and be stopped wherever it is."""
    left = seconds
    try:
        while True:
            shown = _ask(state, "POST", advance=repr(left), within=str(_STRETCH))
            left = shown.left
            if not left:
                return shown
            _tell(f"{shown.now}  {(seconds - left) / seconds:.0%}")
    except KeyboardInterrupt:
        _tell("")
        print(f"stopped, time stands at {_text(_ask(state, 'GET'))}", file=sys.stderr)
        raise
    finally:
        _tell("")


def _tell(text: str) -> None:
    """In place of what was told before, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _text(shown: Shown) -> str:
    if shown.clock == "system":
        return f"{shown.now} (the machine's time)"
    if shown.rate == 0:
        return f"{shown.now} (virtual, frozen)"
    return f"{shown.now} (virtual" + (")" if shown.rate == 1 else f", {shown.rate:g} seconds per second)")


def seconds(text: str) -> float:
    """`90`, `90s`, `1h30m`, `2d` in seconds; CommandError for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text or (len(parts) > 1 and not parts[-1][1]):
        raise CommandError(f"{text!r} is not a duration; write it as 90s, 15m, 1h30m or 2d")
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
