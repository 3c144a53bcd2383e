"""The contract suite of the `kybern_store` seam.

    class TestMyStore(StoreContract):
        async def make(self, path, clock):
            return MyStore(path, clock)

Every store must pass it as it is. `durable = False` leaves out what only a store that outlives its
process can do. The suite needs pytest and anyio's plugin, which `kybern.testing` brings along.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kybern.clock import Clock, SystemClock
from kybern.store.interface import Change, Compacted, CompareFailed, Op, Store, StoreError
from kybern.testing.history import Register, linearizable, register_step
from kybern.testing.store_clients import (
    PREFIX,
    changes,
    delete,
    drain,
    others_turn,
    put,
    reach,
    read_watch,
    record_history,
)

__all__ = ["StoreContract"]


@pytest.mark.anyio
class StoreContract:
    """Subclass it, give `make`, and name the subclass `Test...`."""

    durable = True

    async def make(self, path: Path, clock: Clock) -> Store:
        """A new store, not started, that keeps its files in `path`."""
        raise NotImplementedError("give the suite a store")

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """A started store."""
        store = await self.make(tmp_path / "store", SystemClock())
        await store.start()
        yield store
        await store.close()

    async def test_an_empty_store_is_at_revision_1(self, store: Store) -> None:
        assert store.revision == 1
        page = await store.range("/")
        assert (list(page.entries), page.revision, page.more, page.remaining) == ([], 1, False, 0)

    async def test_each_commit_is_one_revision(self, store: Store) -> None:
        assert [await put(store, "a"), await put(store, "b"), await put(store, "a", b"w")] == [2, 3, 4]
        entry = await store.get(PREFIX + "a")
        assert entry is not None and (entry.value, entry.revision, entry.created) == (b"w", 4, 2)
        assert store.revision == await store.newest() == 4

    async def test_several_changes_share_a_revision(self, store: Store) -> None:
        await put(store, "old")
        revision = await store.commit([Op(PREFIX + "a", b"1"), Op(PREFIX + "b", b"2"), Op(PREFIX + "old", None)])
        page = await store.range(PREFIX)
        assert [(e.key, e.value, e.revision) for e in page.entries] == [
            (PREFIX + "a", b"1", revision),
            (PREFIX + "b", b"2", revision),
        ]

    async def test_any_text_is_a_key_and_any_bytes_a_value(self, store: Store) -> None:
        value = bytes(range(256)) * 100
        await put(store, "snowman-☃", value)
        await put(store, "empty", b"")
        assert [(e.key, e.value) for e in (await store.range(PREFIX)).entries] == [
            (PREFIX + "empty", b""),
            (PREFIX + "snowman-☃", value),
        ]

    async def test_expecting_nothing_creates_only_once(self, store: Store) -> None:
        first = await put(store, "a", b"1", expect=0)
        with pytest.raises(CompareFailed) as failed:
            await put(store, "a", b"2", expect=0)
        assert failed.value.current is not None and failed.value.current.revision == first
        assert failed.value.current.value == b"1"

    async def test_expecting_a_revision_holds_only_while_it_is_the_newest(self, store: Store) -> None:
        first = await put(store, "a", b"1")
        second = await put(store, "a", b"2", expect=first)
        for write in (put(store, "a", b"3", expect=first), delete(store, "a", expect=first)):
            with pytest.raises(CompareFailed) as failed:
                await write
            assert (failed.value.expected, failed.value.key) == (first, PREFIX + "a")
        await delete(store, "a", expect=second)
        with pytest.raises(CompareFailed) as failed:
            await put(store, "a", b"4", expect=second)
        assert failed.value.current is None

    async def test_one_failed_expectation_keeps_the_whole_commit_out(self, store: Store) -> None:
        first = await put(store, "a", b"1")
        with pytest.raises(CompareFailed):
            await store.commit([Op(PREFIX + "new", b"x"), Op(PREFIX + "a", b"2", 99)])
        assert store.revision == first and await store.get(PREFIX + "new") is None

    async def test_deleting_what_is_not_there_changes_nothing(self, store: Store) -> None:
        revision = await put(store, "a")
        assert await delete(store, "ghost") == revision == store.revision

    async def test_a_key_is_created_anew_after_its_deletion(self, store: Store) -> None:
        await put(store, "a")
        await delete(store, "a")
        again = await put(store, "a", expect=0)
        entry = await store.get(PREFIX + "a")
        assert entry is not None and entry.created == entry.revision == again

    async def test_a_range_is_in_key_order_and_stays_below_its_prefix(self, store: Store) -> None:
        for name in ("b", "a/2", "a", "a/1", "c"):
            await put(store, name)
        await store.commit([Op("/registry/thingsandmore/x", b""), Op("/registry/thing", b"")])
        assert [e.key.removeprefix(PREFIX) for e in (await store.range(PREFIX)).entries] == [
            "a",
            "a/1",
            "a/2",
            "b",
            "c",
        ]
        assert [e.key.removeprefix(PREFIX) for e in (await store.range(PREFIX + "a/")).entries] == ["a/1", "a/2"]

    async def test_pages_of_a_range_join_without_gap(self, store: Store) -> None:
        names = [f"{i:03}" for i in range(25)]
        for name in names:
            await put(store, name)
        seen, start, revision = [], "", store.revision
        while True:
            page = await store.range(PREFIX, start=start, limit=10, revision=revision)
            seen += [e.key.removeprefix(PREFIX) for e in page.entries]
            assert page.remaining == len(names) - len(seen) and page.revision == revision
            if not page.more:
                break
            start = page.entries[-1].key + "\0"
            await put(store, f"{len(seen):03}-later")
            await delete(store, f"{len(seen):03}")
        assert seen == names

    async def test_an_old_revision_shows_the_state_of_then(self, store: Store) -> None:
        random_ = random.Random(7)
        states: dict[int, dict[str, bytes]] = {store.revision: {}}
        state: dict[str, bytes] = {}
        for i in range(120):
            name = f"k{random_.randrange(12)}"
            if random_.random() < 0.3 and name in state:
                del state[name]
                revision = await delete(store, name)
            else:
                state[name] = b"%d" % i
                revision = await put(store, name, state[name])
            states[revision] = dict(sorted(state.items()))
        for revision, then in states.items():
            page = await store.range(PREFIX, revision=revision)
            assert {e.key.removeprefix(PREFIX): e.value for e in page.entries} == then
            assert page.revision == revision
            assert all(e.revision <= revision for e in page.entries)
            entry = await store.get(PREFIX + "k3", revision)
            assert (entry.value if entry else None) == then.get("k3")

    async def test_a_revision_that_is_yet_to_come_is_an_error(self, store: Store) -> None:
        with pytest.raises(StoreError):
            await store.range(PREFIX, revision=store.revision + 1)

    async def test_a_watch_tells_every_change_with_the_value_before(self, store: Store) -> None:
        start = store.revision
        await put(store, "a", b"1")
        await put(store, "a", b"2")
        await store.commit([Op("/registry/others/x", b"not for this watch")])
        await delete(store, "a")
        commits = await read_watch(store, PREFIX, start, start + 4)
        key = PREFIX + "a"
        assert changes(commits) == [
            (key, b"1", start + 1, None),
            (key, b"2", start + 2, b"1"),
            (key, None, start + 4, b"2"),
        ]

    async def test_a_watch_shows_only_its_part_of_a_commit(self, store: Store) -> None:
        revision = await store.commit([Op(PREFIX + "a", b"1"), Op("/registry/others/x", b"2"), Op(PREFIX + "b", b"3")])
        commits = await read_watch(store, PREFIX, revision - 1, revision)
        assert [(c.key, c.revision) for commit in commits for c in commit.changes] == [
            (PREFIX + "a", revision),
            (PREFIX + "b", revision),
        ]
        assert len(commits) == 1

    async def test_watches_from_any_revision_see_the_same_order_while_writers_write(self, store: Store) -> None:
        total = 300
        last = store.revision + total

        async def write(writer: int) -> None:
            for i in range(total // 6):
                await put(store, f"{writer}-{i % 5}", b"%d" % i)

        async def watch_from(wait: int) -> list[int]:
            await reach(store, wait)
            return [commit.revision for commit in await read_watch(store, PREFIX, wait, last)]

        starts = [1, 2, 50, 120, 299]
        watches = [asyncio.create_task(watch_from(start)) for start in starts]
        await asyncio.gather(*(write(i) for i in range(6)))
        for start, watch in zip(starts, watches, strict=True):
            assert await asyncio.wait_for(watch, 20) == list(range(start + 1, last + 1))

    async def test_a_watch_ends_when_the_store_closes(self, tmp_path: Path) -> None:
        store = await self.make(tmp_path / "closing", SystemClock())
        await store.start()
        watch = asyncio.create_task(drain(store, store.revision))
        await put(store, "a")
        await others_turn()
        await store.close()
        assert [commit.revision for commit in await asyncio.wait_for(watch, 10)] == [2]

    async def test_compaction_keeps_values_and_forgets_history(self, store: Store) -> None:
        for i in range(40):
            await put(store, f"k{i % 4}", b"%d" % i)
        await delete(store, "k0")
        newest = store.revision
        await store.compact(newest - 5)
        assert store.oldest == newest - 5 and store.revision == newest
        assert [e.value for e in (await store.range(PREFIX)).entries] == [b"37", b"38", b"39"]
        then = await store.range(PREFIX, revision=newest - 5)
        assert [e.value for e in then.entries] == [b"32", b"33", b"34", b"35"]
        watched = await read_watch(store, PREFIX, newest - 5, newest)
        assert [commit.revision for commit in watched] == list(range(newest - 4, newest + 1))
        with pytest.raises(Compacted):
            await store.range(PREFIX, revision=newest - 6)
        with pytest.raises(Compacted):
            await store.get(PREFIX + "k1", newest - 6)
        with pytest.raises(Compacted):
            await read_watch(store, PREFIX, newest - 6, newest)

    async def test_writers_go_on_during_compaction(self, store: Store) -> None:
        for _ in range(150):
            await asyncio.gather(*(put(store, f"k{i}") for i in range(10)))
        compacting = asyncio.create_task(store.compact(store.revision))
        revisions = [await put(store, "during", b"%d" % i) for i in range(50)]
        await compacting
        assert revisions == list(range(1502, 1552))
        assert len((await store.range(PREFIX)).entries) == 11

    async def test_history_is_what_a_watch_would_tell_or_refused(self, store: Store) -> None:
        for i in range(20):
            await put(store, f"k{i}")
        try:
            history = await store.history(PREFIX, 5, 15)
        except Compacted:
            return
        assert [commit.revision for commit in history] == list(range(6, 16))
        with pytest.raises(Compacted):
            await store.history(PREFIX, 5, 15, limit=3)
        await store.compact(10)
        with pytest.raises(Compacted):
            await store.history(PREFIX, 5, 15)

    async def test_a_listener_knows_a_commit_before_its_writer(self, store: Store) -> None:
        heard: list[Change] = []
        if not store.on_commit(lambda commits: heard.extend(c for commit in commits for c in commit.changes)):
            pytest.skip("this store has writers elsewhere")
        marker = object()

        async def write(i: int) -> None:
            revision = await store.commit([Op(f"{PREFIX}{i}", b"x", 0, marker)])
            assert heard[-1].revision >= revision

        await asyncio.gather(*(write(i) for i in range(100)))
        assert [change.revision for change in heard] == list(range(2, 102))
        assert all(change.hint is marker for change in heard)

    async def test_a_cancelled_commit_happens_whole_or_not_at_all(self, store: Store) -> None:
        pairs = [
            asyncio.create_task(store.commit([Op(f"{PREFIX}a{i}", b""), Op(f"{PREFIX}b{i}", b"")])) for i in range(40)
        ]
        await others_turn()
        for task in pairs[::2]:
            task.cancel()
        results = await asyncio.gather(*pairs, return_exceptions=True)
        await put(store, "z")
        names = {e.key.removeprefix(PREFIX) for e in (await store.range(PREFIX)).entries}
        for i, result in enumerate(results):
            both = {f"a{i}", f"b{i}"}
            assert both <= names or (isinstance(result, asyncio.CancelledError) and not both & names)

    async def test_concurrent_writers_are_linearizable(self, store: Store) -> None:
        history = await record_history(store, clients=8, operations=60, keys=4, seed=11)
        for key, operations in history.items():
            assert linearizable(operations, register_step, Register(0, None)), key

    async def test_a_snapshot_restores_the_newest_state(self, store: Store, tmp_path: Path) -> None:
        for i in range(30):
            await put(store, f"k{i % 7}", b"%d" % i)
        await store.commit([Op(PREFIX + "x", b"1"), Op(PREFIX + "y", b"2"), Op(PREFIX + "k0", None)])
        saved = await store.save(tmp_path / "snapshot")
        entries = list((await store.range("/")).entries)
        await put(store, "later")
        other = await self.make(tmp_path / "other", SystemClock())
        assert await other.restore(tmp_path / "snapshot") == saved
        await other.start()
        try:
            assert list((await other.range("/")).entries) == entries
            assert other.revision >= saved and other.oldest <= other.revision
            assert await put(other, "k1", b"new", expect=entries[0].revision) > saved
            assert [
                c.previous
                for commit in await read_watch(other, PREFIX, other.oldest, other.revision)
                for c in commit.changes
            ] == [entries[0].value]
        finally:
            await other.close()

    async def test_a_damaged_snapshot_is_refused(self, store: Store, tmp_path: Path) -> None:
        await put(store, "a", b"precious")
        file = tmp_path / "snapshot"
        await store.save(file)
        whole = file.read_bytes()
        other = await self.make(tmp_path / "other", SystemClock())
        for damaged in (
            whole[:-1],
            whole[: len(whole) // 2],
            whole.replace(b"precious", b"PRECIOUS"),
            b"",
            b"other\n" * 9,
        ):
            file.write_bytes(damaged)
            with pytest.raises(StoreError):
                await other.restore(file)
        with pytest.raises(StoreError):
            await other.restore(tmp_path / "missing")

    async def test_everything_survives_a_restart(self, store: Store, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this store ends with its process")
        for i in range(20):
            await put(store, f"k{i % 6}", b"%d" % i)
        await delete(store, "k2")
        before = list((await store.range("/")).entries)
        revision = store.revision
        await store.close()
        again = await self.make(tmp_path / "store", SystemClock())
        await again.start()
        try:
            assert again.revision == revision and list((await again.range("/")).entries) == before
            watched = await read_watch(again, PREFIX, 10, revision)
            assert [commit.revision for commit in watched] == list(range(11, revision + 1))
        finally:
            await again.close()

    async def test_no_revision_is_used_twice_after_the_last_one_was_compacted_away(
        self, store: Store, tmp_path: Path
    ) -> None:
        if not self.durable:
            pytest.skip("this store ends with its process")
        await put(store, "a")
        revision = await delete(store, "a")
        await store.compact(revision)
        await store.close()
        again = await self.make(tmp_path / "store", SystemClock())
        await again.start()
        try:
            assert again.revision == again.oldest == revision
            assert await put(again, "b") == revision + 1
        finally:
            await again.close()
