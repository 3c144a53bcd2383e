"""The store for tests: everything in memory, the same semantics as the default, gone at exit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kybern.clock import Clock
from kybern.store.feed import touching
from kybern.store.index import Index, decide
from kybern.store.interface import Commit, Compacted, Entry, Op
from kybern.store.local import LocalStore
from kybern.store.snapshot import Snapshot

__all__ = ["MemoryStore"]


class _Logged(NamedTuple):
    commit: Commit
    before: tuple[Entry | None, ...]


class MemoryStore(LocalStore):
    """Keys and history in memory."""

    def __init__(self, path: Path | None, clock: Clock, options: Any = None) -> None:
        super().__init__(path, clock, options)
        self._log: list[_Logged] = []

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._feeds.end()

    def fork(self) -> MemoryStore:
        """A second, independent store with the same content and history, open as this one; costs next to nothing."""
        other = MemoryStore(self.path, self.clock, self.options)
        other._index = self._index.fork()
        other._log = self._log.copy()
        other._open = self._open
        return other

    def reset(self) -> None:
        """Forget everything and begin again at revision 1. Watches fail with Compacted, listeners are let go."""
        self._feeds.lose(Compacted(self.revision, 1))
        self._listeners.clear()
        self._index = Index()
        self._log = []

    async def commit(self, ops: Sequence[Op]) -> int:
        self._check_open()
        revision = self._index.revision + 1
        changes = decide(ops, self._index.get, revision)
        if not changes:
            return self._index.revision
        self._index.apply(revision, changes)
        kept = Commit(revision, [change._replace(hint=None) for change, _ in changes])
        self._log.append(_Logged(kept, tuple(old for _, old in changes)))
        self._publish([(revision, changes)])
        return revision

    def _since(self, revision: int) -> int:
        """Where in the log the commits after a revision begin."""
        return bisect_right(self._log, revision, key=lambda logged: logged.commit.revision)

    async def _before(self, prefix: str, start: str, revision: int, until: int) -> dict[str, Entry | None]:
        before: dict[str, Entry | None] = {}
        for commit, olds in self._log[self._since(revision) :]:
            for change, old in zip(commit.changes, olds, strict=True):
                if change.key.startswith(prefix) and change.key >= start:
                    before.setdefault(change.key, old)
        return before

    async def _read_commits(self, prefix: str, after: int, until: int, limit: int) -> Sequence[Commit]:
        logged = self._log[self._since(after) : self._since(until)]
        return touching([commit for commit, _ in logged], prefix)

    async def compact(self, revision: int) -> None:
        self._check_known(revision)
        self._index.oldest = revision
        del self._log[: self._since(revision)]

    async def _replace(self, snapshot: Snapshot) -> None:
        revision = max(snapshot.revision, self._index.revision)
        self._index = Index(snapshot.entries, revision, revision)
        self._log = []
