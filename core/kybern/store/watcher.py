"""One watch on one resource: a plain deque that the cache fills and a consumer empties.

The cache pushes events synchronously while it applies a commit, so this is the hottest code of
the project. A consumer either awaits `take()` or, to write to many connections without a task
switch each, sets `notify`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kybern.api.errors import StatusError
from kybern.store.items import Codec, Event, bookmark

__all__ = ["Watcher", "too_old"]

QUEUE_LIMIT = 100_000
"""Events a watcher may leave unread before it is ended with 410 Expired."""


def too_old(revision: int, oldest: int) -> StatusError:
    """410: the watch cannot go on from this revision; list again."""
    return StatusError.expired(f"too old resource version: {revision} ({oldest})")


class Watcher:
    """Events of one watch, in order, each exactly once, from one revision on."""

    __slots__ = (
        "_at",
        "_close",
        "_codec",
        "_held",
        "_stir",
        "_waiter",
        "after",
        "bookmarks",
        "ended",
        "error",
        "notify",
        "predicate",
        "queue",
        "scope",
    )

    def __init__(
        self,
        codec: Codec,
        scope: str,
        predicate: Callable[[Any], bool] | None,
        *,
        after: int,
        bookmarks: bool,
        at: Callable[[], int],
        stir: Callable[[Watcher], Any],
        close: Callable[[Watcher], None],
    ) -> None:
        self.scope = scope
        self.predicate = predicate
        self.after = after
        """Events up to this revision are not for this watcher."""
        self.bookmarks = bookmarks
        self.queue: deque[Event] = deque()
        self.ended = False
        """Nothing more will come."""
        self.error: StatusError | None = None
        """Why it ended, when the cache ended it with an error."""
        self.notify: Callable[[], Any] = self._wake
        """Called without waiting when events have come into an empty queue, and when the watch ends. Not once per
        event: between the event and the call others may follow it into the queue."""
        self._codec = codec
        self._at = at
        self._stir = stir
        self._close = close
        self._waiter: asyncio.Future[None] | None = None
        self._held: deque[Event] | None = None

    def push(self, event: Event) -> None:
        """Take an event from the cache; must not wait."""
        if event.revision <= self.after:
            return
        if self.predicate is not None:
            selected = event.selected(self.predicate)
            if selected is None:
                return
            event = selected
        self.put(event)

    def put(self, event: Event) -> None:
        """Queue an event that is known to be for this watcher."""
        queue = self.queue
        if self._held is not None:
            self._held.append(event)
        elif queue:
            queue.append(event)
            if len(queue) > QUEUE_LIMIT:
                queue.clear()
                self.end(too_old(event.revision, self._at()))
        else:
            queue.append(event)
            self._stir(self)

    def hold(self) -> None:
        """Keep what comes back until `release`, while older events are being read from the store."""
        self._held = deque()

    def release(self, older: Sequence[Event]) -> None:
        """Deliver the older events, then those held."""
        held, self._held = self._held or (), None
        for event in older:
            self.push(event)
        for event in held:
            self.put(event)

    async def take(self) -> list[Event]:
        """All queued events, waiting for the first; [] when the watch has ended; raises StatusError 410."""
        while not self.queue:
            if self.error is not None:
                raise self.error
            if self.ended:
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events = list(self.queue)
        self.queue.clear()
        return events

    def bookmark(self) -> Event:
        """A bookmark at the newest revision; good once the queue is empty."""
        return bookmark(self._codec, self._at())

    def close(self) -> None:
        """Stop watching; idempotent."""
        self.end(None)

    def end(self, error: StatusError | None) -> None:
        """End the watch; what is queued can still be read."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        self._close(self)
        self.notify()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
