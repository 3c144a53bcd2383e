"""The sqlite store and the memory store answer every sequence of operations alike, restarts included."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kybern.clock import SystemClock
from kybern.store.interface import Compacted, CompareFailed, Op, Store, StoreError
from kybern.store.memory import MemoryStore
from kybern.store.sqlite import SqliteStore

MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Durability is not what this test is about, and thousands of fsyncs take their time."""
KEYS = st.sampled_from([f"/a/{name}" for name in ("", "b", "b/c", "bc", "ü")] + ["/b/x", "/b/y"])
PREFIXES = st.sampled_from(["/", "/a/", "/a/b", "/b/", "/c/"])
VALUES = st.one_of(st.none(), st.binary(max_size=6))
EXPECTATIONS = st.sampled_from(["none", "absent", "current", "stale"])


async def outcome(answer: Awaitable[Any]) -> Any:
    """What a call returned, or what it refused and why."""
    try:
        return await answer
    except CompareFailed as failed:
        return "failed", failed.key, failed.expected, failed.current
    except Compacted:
        return "compacted"
    except StoreError:
        return "error"


class StoresAgree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="kybern-model-", dir=MEMORY_DISK))
        self.memory = MemoryStore(None, SystemClock())
        self.sqlite = SqliteStore(self.folder, SystemClock())
        self.runner.run(self.memory.start())
        self.runner.run(self.sqlite.start())

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def both(self, call: Callable[[Store], Awaitable[Any]]) -> Any:
        expected = self.runner.run(outcome(call(self.memory)))
        assert self.runner.run(outcome(call(self.sqlite))) == expected
        return expected

    def expected(self, key: str, what: str) -> int | None:
        entry = self.runner.run(self.memory.get(key))
        current = entry.revision if entry else 0
        return {"none": None, "absent": 0, "current": current, "stale": current + 1}[what]

    @rule(changes=st.lists(st.tuples(KEYS, VALUES, EXPECTATIONS), max_size=4))
    def commit(self, changes: list[tuple[str, bytes | None, str]]) -> None:
        ops = [Op(key, value, self.expected(key, what)) for key, value, what in changes]
        self.both(lambda store: store.commit(ops))

    @rule(prefix=PREFIXES, start=st.one_of(st.just(""), KEYS), limit=st.integers(0, 4), back=st.integers(-1, 12))
    def range(self, prefix: str, start: str, limit: int, back: int) -> None:
        revision = max(self.memory.revision - back, 1)
        self.both(lambda store: store.range(prefix, start=start, limit=limit, revision=revision))

    @rule(key=KEYS, back=st.integers(0, 12))
    def get(self, key: str, back: int) -> None:
        revision = max(self.memory.revision - back, 1)
        self.both(lambda store: store.get(key, revision))

    @rule(prefix=PREFIXES, back=st.integers(0, 15), length=st.integers(0, 15), limit=st.integers(1, 20))
    def history(self, prefix: str, back: int, length: int, limit: int) -> None:
        after = max(self.memory.revision - back, 1)
        until = min(after + length, self.memory.revision)
        self.both(lambda store: store.history(prefix, after, until, limit))

    @rule(back=st.integers(-1, 6))
    def compact(self, back: int) -> None:
        revision = max(self.memory.revision - back, 1)
        self.both(lambda store: store.compact(revision))

    @precondition(lambda self: self.memory.revision > 1)
    @rule()
    def restart(self) -> None:
        self.runner.run(self.sqlite.close())
        self.sqlite = SqliteStore(self.folder, SystemClock())
        self.runner.run(self.sqlite.start())

    @rule()
    def save_and_restore(self) -> None:
        file = self.folder / "snapshot"
        self.both(lambda store: store.save(file))
        self.runner.run(self.sqlite.close())
        self.runner.run(self.memory.close())
        self.sqlite = SqliteStore(self.folder, SystemClock())
        self.both(lambda store: store.restore(file))
        self.runner.run(self.sqlite.start())
        self.runner.run(self.memory.start())

    @invariant()
    def same_position(self) -> None:
        assert (self.sqlite.revision, self.sqlite.oldest) == (self.memory.revision, self.memory.oldest)


StoresAgree.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoresAgree = StoresAgree.TestCase
