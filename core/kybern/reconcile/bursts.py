"""Doing many writes at a time without storming a server that refuses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

T = TypeVar("T")

WIDTH = 64
"""Writes under way at a time: enough for the store to commit them in groups."""

__all__ = ["all_at_once", "slow_start"]


async def slow_start(count: int, act: Callable[[int], Awaitable[None]]) -> tuple[int, Exception | None]:
    """Call `act(0..count-1)` in batches of 1, 2, 4, ... until one fails; (how many succeeded, first error)."""
    done, size = 0, 1
    while done < count:
        batch = range(done, min(done + size, count))
        errors = await all_at_once(batch, act)
        done += len(batch) - len(errors)
        if errors:
            return done, errors[0]
        size *= 2
    return done, None


async def all_at_once(items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> list[Exception]:
    """Call `act` for every item, many at a time, and wait for all; the errors."""
    errors: list[Exception] = []
    waiting = list(items)
    left = iter(waiting)

    async def lane() -> None:
        for item in left:
            try:
                await act(item)
            except Exception as error:
                errors.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(min(len(waiting), WIDTH)):
            tasks.start_soon(lane)
    return errors
