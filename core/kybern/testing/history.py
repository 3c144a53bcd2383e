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
    """One call as its caller saw it."""

    invoked: float
    returned: float
    action: Any
    outcome: Any = None
    lost: bool = False
    """The answer never came: the call took effect at some time before `returned`, or not at all."""


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
    """Whether there is an order that respects real time and in which every answer is right."""
    operations = sorted(history, key=lambda operation: operation.invoked)
    answered = sum(1 << i for i, operation in enumerate(operations) if not operation.lost)
    settles = _settled_by(operations)
    open_ = [(0, initial)]
    tried = set(open_)
    while open_:
        done, state = open_.pop()
        if done & answered == answered:
            return True
        for i in _next(operations, done):
            after = step(state, operations[i])
            configuration = (done | settles[i], after)
            if after is not None and configuration not in tried:
                tried.add(configuration)
                open_.append(configuration)
    return False


def _settled_by(operations: Sequence[Operation]) -> list[int]:
    """Per operation, the set of those that are over once it is placed: itself, and the lost ones that would have
    had to come before it."""
    settled: list[int] = []
    waiting: list[tuple[float, int]] = []
    over = 0
    for i, operation in enumerate(operations):
        over |= sum(1 << j for returned, j in waiting if returned < operation.invoked)
        waiting = [(returned, j) for returned, j in waiting if returned >= operation.invoked]
        settled.append(over | 1 << i)
        if operation.lost:
            waiting.append((operation.returned, i))
    return settled


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
        if not operation.lost:
            limit = min(limit, operation.returned)
        found.append(i)
    return [i for i in found if operations[i].invoked <= limit]
