"""Is what concurrent clients saw explained by some order of their operations, one at a time?

The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
configurations tried. Registers are independent, so a history is checked key by key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["Operation", "Register", "Seen", "linearizable", "register_step"]


class Operation(NamedTuple):
    """One call as its caller saw it. `returned` is infinite when the answer never came."""

    invoked: float
    returned: float
    action: Any
    outcome: Any = None


class Register(NamedTuple):
    """State of one key: its value, and its revision (0: absent)."""

    revision: int
    value: bytes | None
    exact: bool = True
    """False: written by a call whose answer was lost; its revision is some number above `revision`."""


class Seen(NamedTuple):
    """What a call told about a key: `revision` and `value` as read or written, `failed` for a compare that failed."""

    revision: int
    value: bytes | None = None
    failed: bool = False


def _fits(state: Register, revision: int) -> bool:
    """Whether the register may be at this revision."""
    return state.revision == revision if state.exact else state.revision < revision


def register_step(state: Register, operation: Operation) -> Register | None:
    """The register after the operation, or None when it could not have answered so in this state.

    Actions: ("get",), ("put", value, expected or None), ("delete", expected or None).
    """
    kind, *arguments = operation.action
    seen: Seen | None = operation.outcome
    if kind == "get":
        assert seen is not None, "a read without an answer tells nothing: leave it out"
        fits = _fits(state, seen.revision) and state.value == seen.value
        return Register(seen.revision, seen.value) if fits else None
    expected = arguments[-1]
    if seen is not None and seen.failed:
        fits = _fits(state, seen.revision) and seen.revision != expected
        return Register(seen.revision, state.value) if fits else None
    if expected is not None and not _fits(state, expected):
        return None
    if kind == "delete":
        return Register(0, None)
    if seen is None:
        return Register(state.revision, arguments[0], exact=False)
    return Register(seen.revision, arguments[0]) if seen.revision > state.revision else None


def linearizable(history: Iterable[Operation], step: Callable[[Any, Operation], Any], initial: Any) -> bool:
    """Whether there is an order that respects real time and in which every answer is right. Operations whose
    answer was lost may have happened at any later time, or never."""
    operations = sorted(history, key=lambda operation: operation.invoked)
    answered = sum(1 << i for i, operation in enumerate(operations) if operation.returned != math.inf)
    open_ = [(0, initial)]
    tried = {(0, initial)}
    while open_:
        done, state = open_.pop()
        if done & answered == answered:
            return True
        for i in _next(operations, done):
            after = step(state, operations[i])
            configuration = (done | 1 << i, after)
            if after is not None and configuration not in tried:
                tried.add(configuration)
                open_.append(configuration)
    return False


def _next(operations: Sequence[Operation], done: int) -> list[int]:
    """Operations that may come next: those that began before every operation not yet placed had returned."""
    found, limit = [], math.inf
    first = (~done & (done + 1)).bit_length() - 1
    for i in range(first, len(operations)):
        operation = operations[i]
        if done >> i & 1:
            continue
        if operation.invoked > limit:
            break
        limit = min(limit, operation.returned)
        found.append(i)
    return [i for i in found if operations[i].invoked <= limit]
