"""Clients of a store, for its contract suite: one that puts and deletes, one that watches, and many at once that write
down what each of them saw.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import aclosing

from kybern.clock import SystemClock
from kybern.store.interface import Commit, CompareFailed, Op, Store
from kybern.testing.history import Operation, Seen

__all__ = ["PREFIX", "changes", "delete", "drain", "others_turn", "put", "reach", "read_watch", "record_history"]

PREFIX = "/registry/things/"


async def put(store: Store, name: str, value: bytes = b"v", expect: int | None = None) -> int:
    """Write one key below the suite's prefix."""
    return await store.commit([Op(PREFIX + name, value, expect)])


async def delete(store: Store, name: str, expect: int | None = None) -> int:
    """Delete one key below the suite's prefix."""
    return await store.commit([Op(PREFIX + name, None, expect)])


async def read_watch(store: Store, prefix: str, after: int, until: int) -> list[Commit]:
    """What a watch delivers up to a revision."""
    commits: list[Commit] = []
    async with aclosing(store.watch(prefix, after)) as batches:  # type: ignore[type-var]  # every watch is a generator
        async for batch in batches:
            commits.extend(batch)
            if commits and commits[-1].revision >= until:
                break
    return commits


async def others_turn() -> None:
    """Let the other tasks run."""
    await SystemClock().sleep(0)


async def reach(store: Store, revision: int) -> None:
    """Return once the store has come so far."""
    while store.revision < revision:
        await others_turn()


def changes(commits: Sequence[Commit]) -> list[tuple[str, bytes | None, int, bytes | None]]:
    """The plain facts of commits."""
    return [(c.key, c.value, c.revision, c.previous) for commit in commits for c in commit.changes]


async def drain(store: Store, after: int) -> list[Commit]:
    """All that a watch delivers until it ends."""
    return [commit async for batch in store.watch("/", after) for commit in batch]


async def record_history(
    store: Store, *, clients: int, operations: int, keys: int, seed: int
) -> dict[str, list[Operation]]:
    """Let clients read, write and delete the same few keys at once; what each saw, by key."""
    history: dict[str, list[Operation]] = {f"{PREFIX}register-{i}": [] for i in range(keys)}
    tick = itertools.count()

    async def client(number: int) -> None:
        random_ = random.Random(seed * 1000 + number)
        last: dict[str, int] = {}
        for i in range(operations):
            key = random_.choice(list(history))
            operation = await _operate(store, key, random_, b"%d-%d" % (number, i), last, tick)
            history[key].append(operation)
            if random_.random() < 0.2:
                await others_turn()

    await asyncio.gather(*(client(i) for i in range(clients)))
    return history


async def _operate(
    store: Store, key: str, random_: random.Random, value: bytes, last: dict[str, int], tick: Iterator[int]
) -> Operation:
    """One random operation and its answer; expectations are mostly what this client saw last."""
    dice = random_.random()
    expected = last.get(key, 0) if dice < 0.9 else None
    action: tuple[object, ...]
    started = next(tick)
    try:
        if dice < 0.3:
            action = ("get",)
            entry = await store.get(key)
            seen = Seen(entry.revision, entry.value) if entry else Seen(0)
        elif dice < 0.45:
            action = ("delete", expected)
            await store.commit([Op(key, None, expected)])
            seen = Seen(0)
        else:
            action = ("put", value, expected)
            seen = Seen(await store.commit([Op(key, value, expected)]))
    except CompareFailed as failed:
        seen = Seen(failed.current.revision if failed.current else 0, failed=True)
    last[key] = seen.revision
    return Operation(started, next(tick), action, seen)
