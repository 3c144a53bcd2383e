"""The watch cache of one resource: get, list, watch and write of everything below one key prefix.

Reads are answered here and never reach the store, except states and changes older than the
window of recent events, which the store's history still has until it is compacted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sortedcontainers import SortedDict

from kybern.api.errors import StatusError
from kybern.store.interface import Change, Commit, Compacted, CompareFailed, Entry, Op
from kybern.store.items import Codec, Event, Item, bookmark
from kybern.store.listing import Listing, page
from kybern.store.paging import parse_revision, wanted, wanted_list_gone
from kybern.store.watcher import Watcher, too_old

if TYPE_CHECKING:
    from kybern.store.cache import WatchCache

__all__ = ["ResourceCache", "Write"]

LOOK_AT_ONCE = 500
WINDOW = 1024
"""Events of a resource kept in memory; older ones are read from the store when asked for."""


class Write:
    """Travels through the store with a commit, so that the writer's Struct becomes the cached one."""

    __slots__ = ("item", "object", "resource")

    def __init__(self, resource: ResourceCache, obj: Any) -> None:
        self.resource = resource
        self.object = obj
        self.item: Item | None = None


class ResourceCache:
    """All objects of one resource. Get it from `WatchCache.add`."""

    def __init__(
        self, cache: WatchCache, prefix: str, codec: Codec, expires: Callable[[Any], float] | None = None
    ) -> None:
        self.prefix = prefix
        self.codec = codec
        self._cache = cache
        self._expires = expires
        self._items: SortedDict[str, Item] = SortedDict()
        self._window: deque[Event] = deque()
        self._window_start = 0
        self._loaded = 0
        self._changed = 0
        self._backlog: list[tuple[int, Change]] | None = None
        self._watchers: dict[str, dict[Watcher, None]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        """The newest state of every object, in key order."""
        return iter(self._items.values())

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object; namespace "" for cluster-scoped resources."""
        return f"{self.prefix}{namespace}/{name}" if namespace else self.prefix + name

    def get(self, namespace: str, name: str) -> Item | None:
        """The newest state of an object."""
        item: Item | None = self._items.get(f"{self.prefix}{namespace}/{name}" if namespace else self.prefix + name)
        return item

    async def fresh(self, resource_version: str) -> None:
        """Wait until reads show at least this state ("": the newest of the store). StatusError 400, 504."""
        if not resource_version:
            await self._cache.wait_newest()
        else:
            await self._cache.wait_for(parse_revision(resource_version))

    async def create(self, obj: Any) -> Item:
        """Store a new object; raises CompareFailed when it exists. The object is the cache's from now on."""
        return await self._put(obj, self.key(obj.metadata.namespace or "", obj.metadata.name), 0)

    async def update(self, obj: Any, expect: int) -> Item:
        """Replace the object that is at revision `expect`; raises CompareFailed. The object is the cache's
        from now on. Nothing is written when nothing changed."""
        return await self._put(obj, self.key(obj.metadata.namespace or "", obj.metadata.name), expect)

    async def delete(self, namespace: str, name: str, expect: int) -> Item:
        """Remove the object that is at revision `expect`; raises CompareFailed. Returns its last state under
        the revision of the deletion."""
        key = self.key(namespace, name)
        old = self.get(namespace, name)
        write = Write(self, None)
        revision = await self._cache.store.commit([Op(key, None, expect, write)])
        await self._cache.wait_for(revision)
        if write.item is not None:
            return write.item
        assert old is not None, f"{key}: deleted at revision {expect}, which was never in the cache"
        return old.at(revision)

    async def _put(self, obj: Any, key: str, expect: int) -> Item:
        obj.metadata.resourceVersion = None
        value = self.codec.encode(obj)
        current: Item | None = self._items.get(key)
        if current is not None and current.revision == expect and current.value == value:
            return current
        write = Write(self, obj)
        revision = await self._cache.store.commit([Op(key, value, expect, write)])
        await self._cache.wait_for(revision)
        if write.item is not None:
            return write.item
        obj.metadata.resourceVersion = str(revision)
        return Item(key, revision, value, self.codec, obj)

    async def list(
        self,
        namespace: str = "",
        name: str = "",
        predicate: Callable[[Any], bool] | None = None,
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
        match: str = "",
    ) -> Listing:
        """Objects in key order. `predicate` is asked with each Struct. StatusError 400, 410, 504."""
        want = wanted(resource_version, match, limit, continue_)
        if want.fresh:
            await self._cache.wait_newest()
        elif want.exact or want.at_least:
            await self._cache.wait_for(want.exact or want.at_least)
        revision = want.exact or max(self._cache.revision, self._loaded)
        first, end = self._bounds(namespace, name)
        first = max(first, self.prefix + want.start)
        try:
            found, total = await self._state(first, end, revision)
        except Compacted:
            raise wanted_list_gone(bool(continue_)) from None
        return page(self.prefix, found, total, predicate, limit, revision)

    def _bounds(self, namespace: str, name: str) -> tuple[str, str]:
        """First key of what is asked for, and the first key after it."""
        if name:
            key = self.key(namespace, name)
            return key, key + "\0"
        prefix = f"{self.prefix}{namespace}/" if namespace else self.prefix
        return prefix, prefix[:-1] + "0"

    async def _state(self, first: str, end: str, revision: int) -> tuple[Iterable[Item], int]:
        """Items in [first, end) as they were at a revision, in key order, and how many."""
        if revision >= self._changed:
            return self._current(first, end)
        if revision >= self._window_start:
            items = self._undone(first, end, revision)
        else:
            items = await self._read(first, end, revision)
        return items, len(items)

    def _current(self, first: str, end: str) -> tuple[Iterable[Item], int]:
        items = self._items
        low, high = items.bisect_left(first), items.bisect_left(end)
        return map(items.__getitem__, items.islice(low, high)), max(high - low, 0)

    def _undone(self, first: str, end: str, revision: int) -> Sequence[Item]:
        """The current state with the window's newer events taken back."""
        before: dict[str, Item | None] = {}
        for event in reversed(self._window):
            if event.revision <= revision:
                break
            before[event.item.key] = event.previous
        keys = [key for key in self._items.irange(first, end, (True, False)) if key not in before]
        back = [key for key, item in before.items() if item is not None and first <= key < end]
        found = (before.get(key) or self._items[key] for key in sorted(keys + back))
        return list(found)

    async def _read(self, first: str, end: str, revision: int) -> Sequence[Item]:
        """An old state, from the store."""
        page = await self._cache.store.range(self.prefix, start=first, revision=revision)
        return [self._item(entry) for entry in page.entries if entry.key < end]

    def _item(self, entry: Entry) -> Item:
        return Item(entry.key, entry.revision, entry.value, self.codec)

    async def watch(
        self,
        namespace: str = "",
        name: str = "",
        predicate: Callable[[Any], bool] | None = None,
        resource_version: str = "",
        bookmarks: bool = False,
        send_initial_events: bool | None = None,
    ) -> Watcher:
        """Begin a watch. Without a resourceVersion, with "0" or with `send_initial_events` it begins with an
        ADDED event per object; otherwise it continues after that revision. StatusError 400, 410, 504."""
        after = parse_revision(resource_version)
        initial = after == 0 if send_initial_events is None else send_initial_events
        if initial or not after:
            await (self._cache.wait_for(after) if resource_version else self._cache.wait_newest())
        scope = f"{namespace}/{name}" if namespace else name
        now = max(self._cache.revision, self._loaded)
        start = now if initial or not after else after
        watcher = Watcher(
            self.codec,
            scope,
            predicate,
            after=start,
            bookmarks=bookmarks,
            at=self._cache.at,
            stir=self._cache.stir,
            close=self._forget,
        )
        if initial:
            self._send_state(watcher, namespace, name, bool(send_initial_events), now)
        elif after < self._window_start:
            return await self._catch_up(watcher, namespace, name, now)
        else:
            self._send_window(watcher)
        self._watchers.setdefault(scope, {})[watcher] = None
        return watcher

    def _send_state(self, watcher: Watcher, namespace: str, name: str, mark_end: bool, revision: int) -> None:
        items, _ = self._current(*self._bounds(namespace, name))
        for item in items:
            if watcher.predicate is None or watcher.predicate(item.object):
                watcher.queue.append(Event("ADDED", item, None, item.revision))
        if mark_end and watcher.bookmarks:
            watcher.queue.append(bookmark(self.codec, revision, initial_end=True))

    def _send_window(self, watcher: Watcher) -> None:
        missed = []
        for event in reversed(self._window):
            if event.revision <= watcher.after:
                break
            if watcher.scope in self._scopes(event.item.key):
                missed.append(event)
        for event in reversed(missed):
            watcher.push(event)

    async def _catch_up(self, watcher: Watcher, namespace: str, name: str, until: int) -> Watcher:
        """Begin a watch whose first events only the store still has; what happens meanwhile waits."""
        store, after = self._cache.store, watcher.after
        prefix, _ = self._bounds(namespace, name)
        watcher.hold()
        self._watchers.setdefault(watcher.scope, {})[watcher] = None
        try:
            if after < store.oldest:
                raise Compacted(after, store.oldest)
            commits = await store.history(prefix, after, until)
        except BaseException as error:
            watcher.close()
            if isinstance(error, Compacted):
                raise too_old(after, store.oldest) from None
            raise
        watcher.release([e for e in self._past(commits) if watcher.scope in self._scopes(e.item.key)])
        return watcher

    def _past(self, commits: Sequence[Commit]) -> Iterator[Event]:
        """Events made from the store's history."""
        for commit in commits:
            for change in commit.changes:
                yield self._past_event(commit.revision, change)

    def _past_event(self, revision: int, change: Change) -> Event:
        previous = None if change.previous is None else Item(change.key, 0, change.previous, self.codec)
        if change.value is None:
            assert previous is not None, f"{change.key}: deleted at {revision}, but was not there"
            return Event("DELETED", previous.at(revision), previous, revision)
        item = Item(change.key, revision, change.value, self.codec)
        return Event("ADDED" if previous is None else "MODIFIED", item, previous, revision)

    def _scopes(self, key: str) -> tuple[str, str, str]:
        """The watch scopes that an object belongs to: all, its namespace, itself."""
        relative = key[len(self.prefix) :]
        namespace, slash, _ = relative.partition("/")
        return "", namespace + slash if slash else "", relative

    def _forget(self, watcher: Watcher) -> None:
        group = self._watchers.get(watcher.scope)
        if group is None:
            return
        group.pop(watcher, None)
        if not group:
            del self._watchers[watcher.scope]

    def expect_load(self) -> None:
        """Set changes aside until `load` has the state that they apply to."""
        self._backlog = []

    def load(self, entries: Sequence[Entry], revision: int) -> None:
        """Begin with this state; changes up to its revision are part of it."""
        self._items = SortedDict((entry.key, self._item(entry)) for entry in entries)
        self._window.clear()
        self._loaded = self._changed = self._window_start = revision
        backlog, self._backlog = self._backlog or (), None
        for at, change in backlog:
            self.apply(at, change)

    def apply(self, revision: int, change: Change) -> None:
        """Take over one committed change and tell the watchers."""
        if self._backlog is not None:
            self._backlog.append((revision, change))
            return
        if revision <= self._loaded:
            return
        old = self._items.get(change.key)
        write = change.hint if type(change.hint) is Write else None
        if change.value is not None:
            obj = None if write is None else write.object
            if obj is not None:
                obj.metadata.resourceVersion = str(revision)
            item = Item(change.key, revision, change.value, self.codec, obj)
            self._items[change.key] = item
            event = Event("ADDED" if old is None else "MODIFIED", item, old, revision)
        elif old is not None:
            del self._items[change.key]
            item = old.at(revision)
            event = Event("DELETED", item, old, revision)
        else:
            return
        if write is not None:
            write.item = item
        self._changed = revision
        self._remember(event)
        self._tell(event)

    def _remember(self, event: Event) -> None:
        self._window.append(event)
        if len(self._window) > WINDOW:
            self._window_start = self._window.popleft().revision

    def _tell(self, event: Event) -> None:
        groups = self._watchers
        if not groups:
            return
        everybody, namespace, own = self._scopes(event.item.key)
        for scope in (everybody, namespace, own) if namespace else (everybody, own):
            group = groups.get(scope)
            if group:
                for watcher in tuple(group):
                    _push(watcher, event)

    def send_bookmarks(self, revision: int) -> None:
        """Tell the watchers that asked for it how far they have come."""
        event = None
        for group in tuple(self._watchers.values()):
            for watcher in tuple(group):
                if watcher.bookmarks and watcher.after <= revision:
                    event = event or bookmark(self.codec, revision)
                    watcher.put(event)

    def end_watches(self, error: StatusError | None) -> None:
        """End every watch on this resource."""
        for group in tuple(self._watchers.values()):
            for watcher in tuple(group):
                watcher.end(error)

    def expired(self, now: float) -> Iterator[Sequence[str]]:
        """Keys of objects whose time is over, in pieces that are looked for one after the other."""
        expires = self._expires
        if expires is None:
            return
        items = list(self._items.values())
        for start in range(0, len(items), LOOK_AT_ONCE):
            yield [item.key for item in items[start : start + LOOK_AT_ONCE] if expires(item.object) <= now]

    async def drop(self, key: str) -> None:
        """Remove an object, unless somebody changes or removes it first."""
        item: Item | None = self._items.get(key)
        if item is not None:
            with suppress(CompareFailed):
                await self._cache.store.commit([Op(key, None, item.revision)])

    def mutated(self) -> Sequence[str]:
        """Keys whose shared Struct somebody has changed, which nobody may (a check for tests)."""
        return [key for key, item in self._items.items() if item.mutated()]


def _push(watcher: Watcher, event: Event) -> None:
    """A predicate that raises ends its own watch, never the commit."""
    try:
        watcher.push(event)
    except Exception as error:
        watcher.end(StatusError.internal(f"watch: {error}"))
