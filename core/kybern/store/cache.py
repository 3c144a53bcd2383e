"""The watch cache: between the API server and whatever store there is, all reads are answered here.

It follows the store's commits in their order and keeps, per resource, every object decoded once
and encoded once. A store in this process hands each commit over before its writer learns of it;
any other store is followed by its watch, and a writer waits until its own commit has come back.
So a read always sees what the same process has written. It also decides how long history is kept.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kybern.clock import Clock
from kybern.store.interface import Commit, Compacted, Store, StoreError
from kybern.store.items import Codec, Event, Item
from kybern.store.listing import Listing
from kybern.store.paging import too_large
from kybern.store.resource import ResourceCache, Write
from kybern.store.watcher import Watcher, too_old

__all__ = ["Codec", "Event", "Item", "Listing", "ResourceCache", "WatchCache", "Watcher"]

FRESH_TIMEOUT = 3.0
"""Seconds that a read waits for a revision that is not here yet."""
TICK = 10.0
MINUTE = 60.0
KEEP_SECONDS = 300.0
KEEP_REVISIONS = 100_000
RETRY_SECONDS = 1.0
NOTIFY_AT_ONCE = 100

log = logging.getLogger(__name__)


class WatchCache:
    """All resources of one store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        keep_seconds: float = KEEP_SECONDS,
        keep_revisions: int = KEEP_REVISIONS,
        housekeeping: bool = True,
    ) -> None:
        """History is kept for `keep_seconds`, but for no more than `keep_revisions`. The store must be started
        before `start` and closed after `close`, by whoever made it. Without `housekeeping` nothing is done by the
        clock: no bookmarks, no compaction, no expiry."""
        self.store = store
        self.revision = 0
        """Newest revision that reads show."""
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._keep_revisions = keep_revisions
        self._housekeeping = housekeeping
        self._resources: dict[str, ResourceCache] = {}
        self._local = False
        self._running = False
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._marks: deque[tuple[float, int]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._stirred: deque[Watcher] = deque()
        self._telling = False

    def at(self) -> int:
        """The newest revision that reads show."""
        return self.revision

    def stir(self, watcher: Watcher) -> None:
        """Have the watcher's `notify` called soon.

        Not at once: a commit with a thousand watchers would keep its own writer waiting, and what is committed in
        the meantime would need a second write to each connection.
        """
        self._stirred.append(watcher)
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Notify some of the watchers that have news, then let requests have their turn."""
        stirred = self._stirred
        for _ in range(min(len(stirred), NOTIFY_AT_ONCE)):
            watcher = stirred.popleft()
            if watcher.queue:
                watcher.notify()
        if stirred:
            asyncio.get_running_loop().call_soon(self._tell)
        else:
            self._telling = False

    async def start(self) -> None:
        """Load the resources added so far and follow the store."""
        self.revision = self.store.revision
        self._local = self.store.on_commit(self._apply)
        self._running = True
        if not self._local:
            self._tasks.append(asyncio.create_task(self._follow(), name="watch cache: follow the store"))
        for resource in tuple(self._resources.values()):
            await self._load(resource)
        if self._housekeeping:
            self._tasks.append(asyncio.create_task(self._tick(), name="watch cache: bookmarks and compaction"))

    async def close(self) -> None:
        """End every watch and stop following."""
        self._running = False
        for resource in tuple(self._resources.values()):
            resource.end_watches(None)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def add(self, prefix: str, codec: Codec, *, expires: Callable[[Any], float] | None = None) -> ResourceCache:
        """Serve the keys below `prefix` from now on. `expires` tells when an object may be deleted because nobody
        needs it any longer (Events), in seconds since the epoch; that is looked after about every minute."""
        if not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} must end in a slash")
        for other in self._resources:
            if other.startswith(prefix) or prefix.startswith(other):
                raise ValueError(f"{prefix!r} overlaps {other!r}")
        resource = self._resources[prefix] = ResourceCache(self, prefix, codec, expires)
        if self._running:
            await self._load(resource)
        return resource

    async def remove(self, prefix: str) -> None:
        """Stop serving a prefix; its watches end. The keys stay in the store."""
        resource = self._resources.pop(prefix, None)
        if resource is not None:
            resource.end_watches(None)

    async def _load(self, resource: ResourceCache) -> None:
        resource.expect_load()
        page = await self.store.range(resource.prefix)
        resource.load(page.entries, page.revision)

    async def wait_newest(self) -> None:
        """Return once reads show everything that is in the store now."""
        if not self._local:
            await self.wait_for(await self.store.newest())

    async def wait_for(self, revision: int) -> None:
        """Return once reads show at least this revision; StatusError 504 when it does not come."""
        if self.revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, waiter))
        try:
            await self._clock.wait_for(waiter, FRESH_TIMEOUT)
        except TimeoutError:
            raise too_large(revision, self.revision) from None
        finally:
            self._waiters = [w for w in self._waiters if w[1] is not waiter]

    def _apply(self, commits: Sequence[Commit]) -> None:
        """Take over commits, in order. Called by the store; whatever goes wrong stays here."""
        if not self._running:
            return
        for commit in commits:
            for change in commit.changes:
                hint = change.hint
                resource = hint.resource if type(hint) is Write else self._resource_of(change.key)
                if resource is not None:
                    resource.apply(commit.revision, change)
            self.revision = commit.revision
        if self._waiters:
            self._wake()

    def _resource_of(self, key: str) -> ResourceCache | None:
        end = key.find("/", 1)
        while end > 0:
            found = self._resources.get(key[: end + 1])
            if found is not None:
                return found
            end = key.find("/", end + 1)
        return None

    def _wake(self) -> None:
        for revision, waiter in self._waiters:
            if revision <= self.revision and not waiter.done():
                waiter.set_result(None)

    async def _follow(self) -> None:
        """Follow a store that others write to as well."""
        while True:
            try:
                async for commits in self.store.watch("/", self.revision):
                    self._apply(commits)
                return
            except Compacted as gone:
                log.warning("the watch cache fell behind its store and starts afresh: %s", gone)
                await self._start_afresh()
            except StoreError as error:
                log.warning("the watch on the store broke and is tried again: %s", error)
                await self._clock.sleep(RETRY_SECONDS)

    async def _start_afresh(self) -> None:
        """Nobody knows what was missed: end all watches and read the state again."""
        before, self.revision = self.revision, await self.store.newest()
        for resource in tuple(self._resources.values()):
            resource.end_watches(too_old(before, self.revision))
            await self._load(resource)
        self._wake()

    async def _tick(self) -> None:
        minute = self._clock.monotonic()
        while True:
            await self._clock.sleep(TICK, leap=math.inf)
            try:
                if (now := self._clock.monotonic()) >= minute + MINUTE:
                    minute = now
                    await self._each_minute()
                await self._compact()
            except StoreError as error:
                log.warning("the store could not be tidied up, which is tried again: %s", error)

    async def _each_minute(self) -> None:
        for resource in tuple(self._resources.values()):
            resource.send_bookmarks(self.revision)
        for resource in tuple(self._resources.values()):
            for keys in resource.expired(self._clock.now()):
                await asyncio.gather(*(resource.drop(key) for key in keys))
                await self._clock.sleep(0)

    async def _compact(self) -> None:
        """Forget history that is older than what is kept by time, or more than is kept by number."""
        now = self._clock.monotonic()
        target = self.revision - self._keep_revisions
        self._marks.append((now, self.revision))
        while self._marks and self._marks[0][0] <= now - self._keep_seconds:
            target = max(target, self._marks.popleft()[1])
        if target > self.store.oldest:
            await self.store.compact(target)

    def mutated(self) -> list[str]:
        """Keys whose shared Struct somebody has changed, which nobody may (a check for tests)."""
        return [key for resource in self._resources.values() for key in resource.mutated()]
