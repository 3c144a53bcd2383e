"""The newest state of a store that lives in this process: every key's entry, in key order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sortedcontainers import SortedDict

from kybern.store.interface import Change, CompareFailed, Entry, Op, Page, StoreError

__all__ = ["MAX_OPS", "Index", "decide", "overlay", "prefix_end"]

MAX_OPS = 1024
"""Changes that one commit may make."""


def prefix_end(prefix: str) -> str:
    """The first key after every key that begins with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\U0010ffff"


def decide(
    ops: Sequence[Op], lookup: Callable[[str], Entry | None], revision: int
) -> list[tuple[Change, Entry | None]]:
    """What a commit changes, each with the entry it replaces. Raises CompareFailed; changes nothing itself."""
    if len(ops) > MAX_OPS:
        raise StoreError(f"a commit may make {MAX_OPS} changes, this one has {len(ops)}")
    found = {}
    for op in ops:
        if op.key in found:
            raise StoreError(f"{op.key}: changed twice in one commit")
        entry = found[op.key] = lookup(op.key)
        if op.expect is not None and op.expect != (entry.revision if entry else 0):
            raise CompareFailed(op.key, op.expect, entry)
    return [
        (Change(op.key, op.value, revision, old.value if old else None, op.hint), old)
        for op in ops
        if (old := found[op.key]) is not None or op.value is not None
    ]


class Index:
    """Entries by key. A fork shares them until either side writes, so forking costs nothing."""

    def __init__(self, entries: Iterable[Entry] = (), revision: int = 1, oldest: int = 1) -> None:
        self._entries: SortedDict[str, Entry] = SortedDict((e.key, e) for e in entries)
        self._shared = False
        self.revision = revision
        self.oldest = oldest

    def __len__(self) -> int:
        return len(self._entries)

    def fork(self) -> Index:
        """An independent index with the same content."""
        other = Index(revision=self.revision, oldest=self.oldest)
        other._entries = self._entries
        other._shared = self._shared = True
        return other

    def get(self, key: str) -> Entry | None:
        """The key's newest entry."""
        entry: Entry | None = self._entries.get(key)
        return entry

    def apply(self, revision: int, changes: Iterable[tuple[Change, Entry | None]]) -> None:
        """Take over a commit that is durable."""
        if self._shared:
            self._entries, self._shared = self._entries.copy(), False
        for change, old in changes:
            if change.value is None:
                self._entries.pop(change.key, None)
            else:
                created = old.created if old else revision
                self._entries[change.key] = Entry(change.key, change.value, revision, created)
        self.revision = revision

    def entries(self, prefix: str = "", start: str = "") -> list[Entry]:
        """The newest entries below a prefix, from `start` on, in key order."""
        low = self._entries.bisect_left(max(prefix, start))
        high = self._entries.bisect_left(prefix_end(prefix))
        return [self._entries[key] for key in self._entries.islice(low, high)]

    def range(self, prefix: str, start: str, limit: int) -> Page:
        """The newest entries as a page."""
        low = self._entries.bisect_left(max(prefix, start))
        high = max(low, self._entries.bisect_left(prefix_end(prefix)))
        end = min(high, low + limit) if limit else high
        entries = [self._entries[key] for key in self._entries.islice(low, end)]
        return Page(entries, self.revision, high > end, high - end)


def overlay(entries: Sequence[Entry], before: dict[str, Entry | None], revision: int, limit: int) -> Page:
    """A page of an old state: the newest entries, with what changed since put back to `before`."""
    kept = [e for e in entries if e.key not in before]
    back = [e for e in before.values() if e is not None]
    found = sorted(kept + back) if back else kept
    end = min(len(found), limit) if limit else len(found)
    return Page(found[:end], revision, len(found) > end, len(found) - end)
