"""Watches on a store that lives in this process: each commit goes to the feeds of its watchers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from kybern.store.interface import Commit, Compacted

__all__ = ["Feed", "Feeds", "touching"]

FEED_LIMIT = 200_000
"""Commits that a watcher may leave unread before it is told to start over."""


def touching(commits: Sequence[Commit], prefix: str) -> list[Commit]:
    """The commits that touch a prefix, with only the changes that do."""
    found = []
    for commit in commits:
        changes = [change for change in commit.changes if change.key.startswith(prefix)]
        if changes:
            found.append(commit if len(changes) == len(commit.changes) else Commit(commit.revision, changes))
    return found


class Feed:
    """Commits that one watcher has not read yet."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._commits: deque[Commit] = deque()
        self._ended = False
        self._lost: Compacted | None = None
        self._waiter: asyncio.Future[None] | None = None

    def push(self, commits: Sequence[Commit]) -> None:
        """Take newly durable commits."""
        self._commits.extend(touching(commits, self._prefix))
        if len(self._commits) > FEED_LIMIT:
            oldest = self._commits[0].revision
            self._commits.clear()
            self.lose(Compacted(oldest, commits[-1].revision))
        self._wake()

    def lose(self, why: Compacted) -> None:
        """The watcher cannot go on without a gap."""
        self._lost = why
        self._wake()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[Commit]:
        """All that is unread, waiting for the first; [] at the end; raises Compacted."""
        while not self._commits:
            if self._lost is not None:
                raise self._lost
            if self._ended:
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        commits = list(self._commits)
        self._commits.clear()
        return commits


class Feeds:
    """The feeds of all watchers of one store."""

    def __init__(self) -> None:
        self._feeds: dict[Feed, None] = {}

    def open(self, prefix: str) -> Feed:
        """A feed of every later commit that touches the prefix."""
        feed = Feed(prefix)
        self._feeds[feed] = None
        return feed

    def close(self, feed: Feed) -> None:
        """Forget a feed."""
        self._feeds.pop(feed, None)

    def push(self, commits: Sequence[Commit]) -> None:
        """Give newly durable commits to every watcher."""
        for feed in tuple(self._feeds):
            feed.push(commits)

    def lose(self, why: Compacted) -> None:
        """Tell every watcher to start over."""
        for feed in tuple(self._feeds):
            feed.lose(why)

    def end(self) -> None:
        """End every watch."""
        for feed in tuple(self._feeds):
            feed.end()
