"""The time a cluster runs by: the machine's, or a virtual one that `kybern clock` moves and restarts keep."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from kybern.api.time import format_time, parse_time
from kybern.clock import Clock, PacedClock, SystemClock
from kybern.cluster.state import State
from kybern.config import MOST_RATE, ConfigError, TimeConfig

__all__ = ["Shown", "chosen", "move", "save", "shown"]

_LONGEST = 24 * 3600.0
"""Real seconds that an advance may take."""
_END = 253_402_300_799.0
"""The last second that can be written down."""


class _Kept(msgspec.Struct):
    """What the state directory knows of a virtual clock."""

    now: float
    real: float
    """The machine's time when it was so."""
    rate: float


class Shown(msgspec.Struct):
    """A cluster's time, as `/kybern/clock` tells it."""

    clock: str
    """`system` or `virtual`."""
    now: str
    rate: float = 1.0
    left: float = 0.0
    """Of an advance with a limit: seconds that are still to pass."""


def chosen(config: TimeConfig, state: State) -> Clock:
    """The clock that the configuration asks for; a virtual one goes on from where it was."""
    if config.clock == "system":
        return SystemClock()
    real = SystemClock().now()
    try:
        kept = msgspec.json.decode(state.clock.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return PacedClock(_start(config, real), config.rate)
    return PacedClock(kept.now + max(0.0, real - kept.real) * kept.rate, kept.rate)


def _start(config: TimeConfig, real: float) -> float:
    if not config.start:
        return real
    try:
        return parse_time(config.start)
    except ValueError:
        raise ConfigError(f"time.start: {config.start!r} is not a time such as 2026-01-01T00:00:00Z") from None


def save(clock: Clock, state: State) -> None:
    """Keep a virtual clock's time for the next start."""
    if isinstance(clock, PacedClock):
        state.clock.write_bytes(msgspec.json.encode(_Kept(clock.now(), SystemClock().now(), clock.rate)))


def shown(clock: Clock) -> Shown:
    """What to tell of a clock."""
    if isinstance(clock, PacedClock):
        return Shown("virtual", format_time(clock.now()), clock.rate)
    return Shown("system", format_time(clock.now()))


async def move(clock: Clock, wanted: Mapping[str, Any]) -> Shown:
    """`rate` sets how fast it goes, `advance` lets so many seconds pass at once, or as many as can within `within` real
    ones. ValueError for what cannot be."""
    if not isinstance(clock, PacedClock):
        raise ValueError(
            "this cluster runs by the machine's time; test clusters are started by: kybern up --clock virtual"
        )
    if unknown := set(wanted) - {"rate", "advance", "within"}:
        raise ValueError(f"{sorted(unknown)[0]}: not known here; there are rate, advance and within")
    if "rate" in wanted:
        clock.rate = _number("rate", wanted["rate"], MOST_RATE)
    left = 0.0
    if "advance" in wanted:
        seconds = _seconds(clock, wanted["advance"])
        within = _number("within", wanted.get("within", str(_LONGEST)), _LONGEST)
        left = await clock.advance_some(seconds, within)
    return msgspec.structs.replace(shown(clock), left=left)


def _seconds(clock: Clock, text: str) -> float:
    seconds = _number("advance", text, sys.float_info.max)
    if clock.now() + seconds > _END:
        raise ValueError(f"advance: {seconds:.0f} seconds from {format_time(clock.now())} are beyond the year 9999")
    return seconds


def _number(name: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise ValueError(f"{name}: {text!r} is not a number from 0 to {most:g}")
    return number
