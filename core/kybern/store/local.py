"""What the stores in this process share: their open state, listeners, watches and snapshots.

`memory` and `sqlite` keep the newest state in an `Index`; they differ in when a commit is durable
and in where history lies.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from kybern.clock import Clock
from kybern.store.feed import Feeds
from kybern.store.index import Index, overlay
from kybern.store.interface import Change, Commit, Compacted, Entry, Page, Store, StoreError
from kybern.store.snapshot import Snapshot, read_snapshot, write_snapshot

__all__ = ["Decided", "LocalStore"]

log = logging.getLogger(__name__)

Decided = tuple[int, Sequence[tuple[Change, Entry | None]]]
"""A commit as decided: its revision, and its changes each with the entry it replaces."""


class LocalStore(Store):
    """A store whose every commit goes through this object."""

    def __init__(self, path: Path | None, clock: Clock, options: Any = None) -> None:
        super().__init__(path, clock, options)
        self._index = Index()
        self._feeds = Feeds()
        self._listeners: list[Callable[[Sequence[Commit]], None]] = []
        self._open = False

    @property
    def revision(self) -> int:
        return self._index.revision

    @property
    def oldest(self) -> int:
        return self._index.oldest

    def on_commit(self, listener: Callable[[Sequence[Commit]], None]) -> bool:
        self._listeners.append(listener)
        return True

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("the store is not open")

    def _check_kept(self, revision: int) -> None:
        if revision < self._index.oldest:
            raise Compacted(revision, self._index.oldest)

    def _check_known(self, revision: int) -> None:
        self._check_open()
        self._check_kept(revision)
        if revision > self._index.revision:
            raise StoreError(f"revision {revision} is in the future; the newest is {self._index.revision}")

    def _publish(self, decided: Sequence[Decided]) -> None:
        """Tell listeners and watchers of commits that are durable and in the index."""
        commits = [Commit(revision, [change for change, _ in changes]) for revision, changes in decided]
        for listener in self._listeners:
            try:
                listener(commits)
            except Exception:
                log.exception("a listener failed; the commit stands")
        self._feeds.push(commits)

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        if not revision or revision == self._index.revision:
            self._check_open()
            return self._index.get(key)
        page = await self._range_at(key, key, 0, revision)
        return next((entry for entry in page.entries if entry.key == key), None)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        if not revision or revision == self._index.revision:
            self._check_open()
            return self._index.range(prefix, start, limit)
        return await self._range_at(prefix, start, limit, revision)

    async def _range_at(self, prefix: str, start: str, limit: int, revision: int) -> Page:
        self._check_known(revision)
        now, entries = self._index.revision, self._index.entries(prefix, start)
        before = await self._before(prefix, start, revision, now)
        self._check_kept(revision)
        return overlay(entries, before, revision, limit)

    @abstractmethod
    async def _before(self, prefix: str, start: str, revision: int, until: int) -> dict[str, Entry | None]:
        """The entries at `revision` of every key in the range that changed in (revision, until]."""

    @abstractmethod
    async def _read_commits(self, prefix: str, after: int, until: int, limit: int) -> Sequence[Commit]:
        """Commits in (after, until] that touch the prefix: all, or the first ones with `limit` changes or
        more (0: all)."""

    async def history(self, prefix: str, after: int, until: int, limit: int = 10_000) -> Sequence[Commit]:
        self._check_open()
        self._check_kept(after)
        commits = await self._read_commits(prefix, after, until, limit + 1)
        self._check_kept(after)
        if sum(len(commit.changes) for commit in commits) > limit:
            raise Compacted(after, until)
        return commits

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Commit]]:
        self._check_open()
        self._check_kept(after)
        feed, position = self._feeds.open(prefix), self._index.revision
        try:
            async for commits in self._older(prefix, after, position):
                yield commits
            while commits := await feed.take():
                later = [commit for commit in commits if commit.revision > after]
                if later:
                    yield later
        finally:
            self._feeds.close(feed)

    async def _older(self, prefix: str, after: int, until: int) -> AsyncIterator[Sequence[Commit]]:
        """What a watch that begins in the past has missed, in pieces."""
        while after < until:
            commits = await self._read_commits(prefix, after, until, 2 * 1024)
            self._check_kept(after)
            if not commits:
                return
            yield commits
            after = commits[-1].revision

    async def save(self, file: Path) -> int:
        self._check_open()
        revision, entries = self._index.revision, self._index.entries()
        await asyncio.to_thread(write_snapshot, file, revision, entries)
        return revision

    async def restore(self, file: Path) -> int:
        if self._open:
            raise StoreError("a snapshot can only be restored while the store is not open")
        snapshot = await asyncio.to_thread(read_snapshot, file)
        await self._replace(snapshot)
        return snapshot.revision

    @abstractmethod
    async def _replace(self, snapshot: Snapshot) -> None:
        """Hold the snapshot's content and nothing else. Revisions go on from the newer of the snapshot and what
        was here before, so that none is used twice."""
