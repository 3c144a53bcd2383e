"""`kill -9` under load, many times over: acknowledged writes survive, no revision is used twice, and
watches go on without gap or duplicate."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kybern.clock import SystemClock
from kybern.store.sqlite import SqliteStore
from kybern.testing.history import Operation, Register, Seen, linearizable, register_step
from tests.store.crash_driver import KEYS, label

ROUNDS = int(os.environ.get("KYBERN_CRASH_ROUNDS", "20"))


class Record:
    """All that the killed processes have told."""

    def __init__(self) -> None:
        self.time = 0
        self.seen: dict[int, tuple[str, str, str]] = {}
        self.last_seen = 1
        self.acknowledged: dict[int, str] = {}
        self.open: dict[str, tuple[int, str, tuple[object, ...]]] = {}
        self.history: dict[str, list[Operation]] = {key: [] for key in KEYS}

    def note(self, line: str) -> None:
        self.time += 1
        kind, *words = line.split()
        getattr(self, f"_{kind}")(*words)

    def _started(self, revision: str) -> None:
        assert int(revision) >= max([1, *self.acknowledged, *self.seen]), "an acknowledged or seen revision is gone"

    def _call(self, call: str, key: str, kind: str, expect: str) -> None:
        action = ("put", call.encode(), int(expect)) if kind == "put" else ("delete", int(expect))
        self.open[call] = (self.time, key, action)

    def _done(self, call: str, revision: str) -> None:
        deleted = self._returned(call, Seen(int(revision)))
        if not deleted:
            assert self.acknowledged.setdefault(int(revision), call) == call, f"revision {revision} was used twice"

    def _failed(self, call: str, revision: str) -> None:
        self._returned(call, Seen(int(revision), failed=True))

    def _returned(self, call: str, seen: Seen) -> bool:
        began, key, action = self.open.pop(call)
        deleted = action[0] == "delete"
        outcome = Seen(0) if deleted and not seen.failed else seen
        self.history[key].append(Operation(began, self.time, action, outcome))
        return deleted

    def _seen(self, revision: str, key: str, value: str, previous: str) -> None:
        number = int(revision)
        assert number == self.last_seen + 1, f"the watch told {number} after {self.last_seen}"
        self.last_seen = number
        self.seen[number] = (key, value, previous)

    def killed(self) -> None:
        """Calls without an answer may or may not have happened."""
        for began, key, action in self.open.values():
            self.history[key].append(Operation(began, self.time, action, lost=True))
        self.open.clear()


def run_and_kill(path: Path, record: Record, number: int, random_: random.Random) -> None:
    command = [sys.executable, "-m", "tests.store.crash_driver", str(path), str(number), str(record.last_seen)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        for _ in range(random_.randrange(1, 1500)):
            record.note(next(lines))
        process.send_signal(signal.SIGKILL)
        for line in lines:
            if line.endswith("\n"):
                record.note(line)
    record.killed()


async def read_back(path: Path, record: Record) -> dict[str, tuple[int, str]]:
    """Let the watch catch up and return the newest state."""
    store = SqliteStore(path, SystemClock())
    await store.start()
    if store.revision > record.last_seen:
        async for commits in store.watch("/registry/things/", record.last_seen):
            for commit in commits:
                for change in commit.changes:
                    record.note(f"seen {commit.revision} {change.key} {label(change.value)} {label(change.previous)}")
            if record.last_seen == store.revision:
                break
    state = {e.key: (e.revision, label(e.value)) for e in (await store.range("/registry/things/")).entries}
    assert record.last_seen == store.revision
    await store.close()
    return state


@pytest.mark.anyio
async def test_kill_9_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    record, random_ = Record(), random.Random(20)
    for number in range(ROUNDS):
        run_and_kill(tmp_path, record, number, random_)
    state = await read_back(tmp_path, record)

    for revision, call in record.acknowledged.items():
        assert record.seen[revision][1] == call
    replayed: dict[str, tuple[int, str]] = {}
    for revision, (key, value, previous) in sorted(record.seen.items()):
        assert replayed.pop(key, (0, "-"))[1] == previous
        if value != "-":
            replayed[key] = (revision, value)
    assert replayed == state
    for key, history in record.history.items():
        reads = [Operation(record.time + 1, record.time + 2, ("get",), Seen(*_final(state, key)))]
        assert linearizable(history + reads, register_step, Register(0, None)), key
    assert len(record.acknowledged) > ROUNDS


def _final(state: dict[str, tuple[int, str]], key: str) -> tuple[int, bytes | None]:
    revision, value = state.get(key, (0, ""))
    return revision, value.encode() if revision else None
