"""The process that the crash test kills: writers, a watcher and a compactor on one sqlite store.

It reports on standard output, a line at a time and unbuffered, so that what was acknowledged
before the kill is known: `call`, `done` or `failed` per write, `seen` per change of the watch.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from kybern.clock import SystemClock
from kybern.store.interface import CompareFailed, Op
from kybern.store.sqlite import SqliteStore

KEYS = [f"/registry/things/{i}" for i in range(8)]
WRITERS = 10
KEEP = 3000


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def write(store: SqliteStore, name: str, random_: random.Random) -> None:
    known: dict[str, int] = {}
    for i in range(1_000_000):
        key, call = random_.choice(KEYS), f"{name}-{i}"
        value = None if random_.random() < 0.1 else f"{call} {'x' * random_.randrange(3000)}".encode()
        expect = known.get(key, 0)
        tell("call", call, key, "delete" if value is None else "put", expect)
        try:
            revision = await store.commit([Op(key, value, expect)])
        except CompareFailed as failed:
            known[key] = failed.current.revision if failed.current else 0
            tell("failed", call, known[key])
            continue
        known[key] = 0 if value is None else revision
        tell("done", call, revision)


async def watch(store: SqliteStore, after: int) -> None:
    async for commits in store.watch("/registry/things/", after):
        for commit in commits:
            for change in commit.changes:
                tell("seen", commit.revision, change.key, label(change.value), label(change.previous))


async def compact(store: SqliteStore) -> None:
    while True:
        await asyncio.sleep(0.02)
        if store.revision - KEEP > store.oldest:
            await store.compact(store.revision - KEEP)


def label(value: bytes | None) -> str:
    return "-" if value is None else value.split(b" ")[0].decode()


async def main(path: Path, round_: str, after: int) -> None:
    store = SqliteStore(path, SystemClock())
    await store.start()
    tell("started", store.revision)
    writers = (write(store, f"{round_}.{i}", random.Random(f"{round_} {i}")) for i in range(WRITERS))
    await asyncio.gather(watch(store, after), compact(store), *writers)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
