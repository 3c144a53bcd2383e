"""The store's contract: revisions in one total order, after etcd v3.

Keys are text paths (`/registry/pods/default/nginx`), values are bytes the store does not look
into. Every commit makes one revision; a revision is acknowledged only when it is durable; a watch
delivers each exactly once and in order, or fails with `Compacted`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import attrs

from kybern.clock import Clock

__all__ = ["Change", "Commit", "Compacted", "CompareFailed", "Entry", "Op", "Page", "Store", "StoreError"]


class StoreError(Exception):
    """The store could not do what it was asked (disk full, connection lost, corrupt file)."""


class Compacted(StoreError):
    """The revision asked for is older than the oldest one kept."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"revision {revision} is compacted; the oldest kept is {oldest}")
        self.revision = revision
        self.oldest = oldest


class CompareFailed(StoreError):
    """A commit's expectation about a key did not hold; nothing was written."""

    def __init__(self, key: str, expected: int, current: Entry | None) -> None:
        super().__init__(f"{key}: expected revision {expected}, is {current.revision if current else 0}")
        self.key = key
        self.expected = expected
        self.current = current


class Entry(NamedTuple):
    """A key's value at a revision."""

    key: str
    value: bytes
    revision: int
    """Revision of the last change to the key (etcd: mod_revision)."""
    created: int
    """Revision of the create (etcd: create_revision)."""


class Op(NamedTuple):
    """One change in a commit: a put, or a delete when `value` is None."""

    key: str
    value: bytes | None
    expect: int | None = None
    """Revision the key must have now; 0: must not exist; None: do not care."""
    hint: Any = None
    """Anything; never stored. A store in this process hands it back in the Change, others drop it."""


class Change(NamedTuple):
    """One key's change, as a watch sees it."""

    key: str
    value: bytes | None
    """None: deleted."""
    revision: int
    previous: bytes | None
    """Value before; None: created."""
    hint: Any = None
    """What the writer put into `Op.hint`, when it and the store share this process."""


class Commit(NamedTuple):
    """All changes of one revision."""

    revision: int
    changes: Sequence[Change]


@attrs.frozen
class Page:
    """Part of a range, exact at `revision`."""

    entries: Sequence[Entry]
    revision: int
    more: bool
    remaining: int
    """How many keys follow after this page."""


class Store(ABC):
    """A revisioned key-value store. All methods may be called concurrently from one event loop.

    A commit whose caller is cancelled while it waits may or may not be applied, but never in part.
    """

    Options: ClassVar[type | None] = None
    """attrs class of the driver's own settings (`[store.<name>]` in kybern.toml), if it has any."""

    def __init__(self, path: Path | None, clock: Clock, options: Any = None) -> None:
        """`path`: folder that the store may keep its files in; None for one that keeps none. Opens nothing yet."""
        self.path = path
        self.clock = clock
        self.options = options

    @abstractmethod
    async def start(self) -> None:
        """Open and recover; raises StoreError with what is wrong and what to do about it."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was accepted and let go of every resource; watches end."""

    @property
    @abstractmethod
    def revision(self) -> int:
        """The newest durable revision (1 for an empty store, as in etcd)."""

    @property
    @abstractmethod
    def oldest(self) -> int:
        """The oldest revision that range and watch can still be asked for."""

    @abstractmethod
    async def get(self, key: str, revision: int = 0) -> Entry | None:
        """The key's entry at a revision (0: now). Raises Compacted."""

    @abstractmethod
    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Entries whose key begins with `prefix` and is >= `start`, in key order. Raises Compacted."""

    @abstractmethod
    async def commit(self, ops: Sequence[Op]) -> int:
        """Apply all ops in one revision or none; returns the revision once durable.

        Raises CompareFailed when an expectation does not hold. Deleting a missing key changes
        nothing; a commit that changes nothing returns the current revision.
        """

    @abstractmethod
    def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Commit]]:
        """Every commit with a revision above `after` that touches the prefix, in batches.

        Ends when the store closes. Raises Compacted (also in mid-stream, for a watcher that fell
        too far behind).
        """

    def on_commit(self, listener: Callable[[Sequence[Commit]], None]) -> bool:
        """Call `listener` with every later commit, in order, before the commit that made it returns.

        Only a store that all writes of the cluster pass through can promise this. False, the
        default: it does not, follow `watch` instead. The listener must not wait or raise.
        """
        return False

    async def newest(self) -> int:
        """The newest revision of the whole store as of now. One with writers elsewhere must ask there."""
        return self.revision

    async def history(self, prefix: str, after: int, until: int, limit: int = 10_000) -> Sequence[Commit]:
        """Commits in (after, until] that touch the prefix: what a late watcher has missed.

        Raises Compacted when they are no longer kept, or when more than `limit` changes make it
        cheaper to list again; a store may always say so, and this default does.
        """
        raise Compacted(after, until)

    @abstractmethod
    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; current values stay."""

    @abstractmethod
    async def save(self, file: Path) -> int:
        """Write a snapshot of the newest revision to `file`; returns that revision."""

    @abstractmethod
    async def restore(self, file: Path) -> int:
        """Replace everything by a snapshot's content; returns its revision. Only before `start`."""
