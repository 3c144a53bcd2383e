"""Group commit: requests that arrive while the disk is busy are decided together, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from kybern.store.database import Row, row_id
from kybern.store.index import Index, decide
from kybern.store.interface import Change, Entry, Op, StoreError
from kybern.store.local import Decided

__all__ = ["Batch", "Request"]


class Request(NamedTuple):
    """A commit that waits for its turn."""

    ops: Sequence[Op]
    done: asyncio.Future[int]


class Batch:
    """Commits decided together: each sees those before it, none is durable yet."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._pending: dict[str, Entry | None] = {}
        self.revision = index.revision
        self.decided: list[Decided] = []
        self.rows: list[Row] = []
        self.outcomes: list[tuple[asyncio.Future[int], int | StoreError]] = []

    def _lookup(self, key: str) -> Entry | None:
        return self._pending[key] if key in self._pending else self._index.get(key)

    def decide(self, request: Request) -> None:
        """Add a request's changes and its outcome, should the batch become durable."""
        try:
            changes = decide(request.ops, self._lookup, self.revision + 1)
        except StoreError as error:
            self.outcomes.append((request.done, error))
            return
        if changes:
            self.revision += 1
            self._add(changes)
        self.outcomes.append((request.done, self.revision))

    def _add(self, changes: list[tuple[Change, Entry | None]]) -> None:
        revision = self.revision
        self.decided.append((revision, changes))
        for place, (change, old) in enumerate(changes):
            key, value = change.key, change.value
            created, previous = (old.created, old.revision) if old else (revision, None)
            self.rows.append((row_id(revision, place), key, value, created, previous))
            self._pending[key] = None if value is None else Entry(key, value, revision, created)

    def fail(self, error: StoreError) -> None:
        """Nothing of this batch happened, so no outcome that builds on it holds."""
        for done, _ in self.outcomes:
            if not done.done():
                done.set_exception(error)

    def settle(self) -> None:
        """Tell the callers how it went."""
        for done, outcome in self.outcomes:
            if done.done():
                continue
            if isinstance(outcome, StoreError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
