"""A watch delivers every change once and in order from where it begins, or ends with 410."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from kybern.api.errors import StatusError
from kybern.store import resource, watcher
from kybern.store.cache import Event, Watcher
from kybern.store.memory import MemoryStore
from tests.store.conftest import PREFIX, Fixture, config_map

pytestmark = pytest.mark.anyio


def told(events: list[Event]) -> list[str]:
    return [f"{e.type} {e.item.key.removeprefix(PREFIX)} {e.object.metadata.resourceVersion}" for e in events]


async def read(watch: Watcher, count: int) -> list[Event]:
    events: list[Event] = []
    while len(events) < count:
        taken = await asyncio.wait_for(watch.take(), 10)
        assert taken, "the watch ended"
        events += taken
    return events


def labelled(value: str) -> Any:
    return lambda obj: (obj.metadata.labels or {}).get("app") == value


async def expired(cached: Fixture, **asked: Any) -> StatusError:
    with pytest.raises(StatusError) as error:
        await cached.maps.watch(**asked)
    assert error.value.code == 410
    return error.value


async def test_a_watch_tells_what_happens_after_its_revision(cached: Fixture) -> None:
    await cached.put("a")
    watch = await cached.maps.watch(resource_version="2")
    await cached.put("a", x="1")
    await cached.put("b")
    await cached.drop("a")
    assert told(await read(watch, 3)) == ["MODIFIED default/a 3", "ADDED default/b 4", "DELETED default/a 5"]


async def test_a_watch_without_a_revision_begins_with_what_is_there(cached: Fixture) -> None:
    await cached.put("b")
    await cached.put("a", namespace="other")
    for revision in ("", "0"):
        watch = await cached.maps.watch(resource_version=revision)
        assert told(await read(watch, 2)) == ["ADDED default/b 2", "ADDED other/a 3"]
        watch.close()


async def test_scopes_and_predicates_narrow_a_watch(cached: Fixture) -> None:
    watches = {
        "namespace": await cached.maps.watch(namespace="one"),
        "name": await cached.maps.watch(namespace="one", name="a"),
        "label": await cached.maps.watch(predicate=labelled("web")),
    }
    await cached.put("a", "one")
    await cached.put("a", "one-more", labels={"app": "web"})
    await cached.put("b", "one")
    await cached.put("end", "one", labels={"app": "web"})
    assert told(await read(watches["namespace"], 3)) == ["ADDED one/a 2", "ADDED one/b 4", "ADDED one/end 5"]
    assert told(await read(watches["name"], 1)) == ["ADDED one/a 2"]
    assert told(await read(watches["label"], 2)) == ["ADDED one-more/a 3", "ADDED one/end 5"]


async def test_an_object_that_ceases_to_match_is_deleted_for_this_watch(cached: Fixture) -> None:
    watch = await cached.maps.watch(predicate=labelled("web"))
    await cached.put("a", labels={"app": "db"})
    await cached.put("a", labels={"app": "web"}, x="in")
    await cached.put("a", labels={"app": "web"}, x="still")
    await cached.put("a", labels={"app": "db"}, x="out")
    await cached.drop("a")
    await cached.put("end", labels={"app": "web"})
    events = await read(watch, 4)
    assert told(events) == ["ADDED default/a 3", "MODIFIED default/a 4", "DELETED default/a 5", "ADDED default/end 7"]
    assert events[2].object.data == {"x": "still"}
    assert msgspec.json.decode(events[2].line)["object"]["metadata"]["resourceVersion"] == "5"


async def test_one_event_is_framed_once_for_all_watchers(cached: Fixture) -> None:
    watches = [await cached.maps.watch() for _ in range(3)]
    item = await cached.put("a", x="1")
    events = [(await read(watch, 1))[0] for watch in watches]
    assert events[0] is events[1] is events[2]
    assert events[0].line is events[1].line and events[0].chunk is events[2].chunk
    assert events[0].line == b'{"type":"ADDED","object":%b}\n' % item.json
    assert events[0].chunk == b"%x\r\n%b\r\n" % (len(events[0].line), events[0].line)


async def test_reader_and_writer_share_the_struct() -> None:
    from kybern.clock import VirtualClock
    from tests.store.conftest import CODEC

    store = MemoryStore(None, VirtualClock())
    await store.start()
    cached = Fixture(store, VirtualClock())
    cached.maps = await cached.cache.add(PREFIX, CODEC)
    await cached.cache.start()
    watch = await cached.maps.watch()
    obj = config_map("a")
    item = await cached.maps.create(obj)
    assert item.object is obj is (await read(watch, 1))[0].object
    await cached.cache.close()


@pytest.mark.parametrize("window", [1024, 5, 0])
async def test_a_watch_resumes_from_any_revision(cached: Fixture, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(resource, "WINDOW", window)
    whole = await cached.maps.watch()
    for i in range(30):
        name = f"n{i % 4}"
        await (cached.drop(name) if i % 7 == 6 and cached.maps.get("default", name) else cached.put(name, x=str(i)))
    everything = [(e.type, e.revision, e.line) for e in await read(whole, 30)]
    for start in range(1, 31):
        watch = await cached.maps.watch(resource_version=str(start))
        rest = await read(watch, 31 - start)
        assert [(e.type, e.revision, e.line) for e in rest] == everything[start - 1 :]
        watch.close()


async def test_resuming_while_writers_write_leaves_no_gap(cached: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "WINDOW", 4)
    for i in range(40):
        await cached.put("a", x=str(i))

    async def write(number: int) -> None:
        for i in range(20):
            await cached.put(f"w{number}", x=str(i))

    async def resume(after: int) -> list[int]:
        watch = await cached.maps.watch(resource_version=str(after))
        return [event.revision for event in await read(watch, 121 - after)]

    writers = [asyncio.create_task(write(i)) for i in range(4)]
    for after, revisions in zip((1, 10, 37, 41), await asyncio.gather(*map(resume, (1, 10, 37, 41))), strict=True):
        assert revisions == list(range(after + 1, 122))
    await asyncio.gather(*writers)


async def test_predicates_work_on_old_events_too(cached: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "WINDOW", 0)
    await cached.put("a", labels={"app": "web"})
    await cached.put("a", labels={"app": "db"})
    await cached.put("b", labels={"app": "web"})
    watch = await cached.maps.watch(resource_version="1", predicate=labelled("web"))
    assert told(await read(watch, 3)) == ["ADDED default/a 2", "DELETED default/a 3", "ADDED default/b 4"]


async def test_a_compacted_revision_is_410_in_upstreams_words(cached: Fixture) -> None:
    for i in range(resource.WINDOW + 10):
        await cached.put("a", x=str(i))
    await cached.store.compact(1000)
    error = await expired(cached, resource_version="5")
    assert (error.reason, error.message) == ("Expired", "too old resource version: 5 (1000)")
    assert cached.maps._watchers == {}
    watch = await cached.maps.watch(resource_version="1000")
    assert len(await read(watch, cached.store.revision - 1000)) == cached.store.revision - 1000


async def test_a_watcher_that_never_reads_is_ended_with_410(cached: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "QUEUE_LIMIT", 10)
    slow, fast = await cached.maps.watch(), await cached.maps.watch()
    for i in range(12):
        await cached.put("a", x=str(i))
        await read(fast, 1)
    with pytest.raises(StatusError) as error:
        await slow.take()
    assert error.value.code == 410 and not fast.ended


async def test_a_predicate_that_fails_ends_only_its_own_watch(cached: Fixture) -> None:
    def broken(obj: Any) -> bool:
        raise KeyError("no such field")

    bad, good = await cached.maps.watch(predicate=broken), await cached.maps.watch()
    item = await cached.put("a")
    assert cached.maps.get("default", "a") is not None and item.revision == 2
    assert told(await read(good, 1)) == ["ADDED default/a 2"]
    with pytest.raises(StatusError) as error:
        await bad.take()
    assert error.value.code == 500


async def test_initial_events_end_with_a_marked_bookmark(cached: Fixture) -> None:
    await cached.put("a")
    await cached.put("b")
    watch = await cached.maps.watch(send_initial_events=True, bookmarks=True, resource_version="2")
    events = await read(watch, 3)
    assert [e.type for e in events] == ["ADDED", "ADDED", "BOOKMARK"]
    mark = msgspec.json.decode(events[2].line)["object"]
    assert (mark["kind"], mark["apiVersion"], mark["metadata"]["resourceVersion"]) == ("ConfigMap", "v1", "3")
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert events[2].object.metadata.resourceVersion == "3"
    await cached.put("c")
    assert told(await read(watch, 1)) == ["ADDED default/c 4"]


async def test_a_watch_may_begin_now_without_initial_events(cached: Fixture) -> None:
    await cached.put("a")
    watch = await cached.maps.watch(send_initial_events=False)
    await cached.put("b")
    assert told(await read(watch, 1)) == ["ADDED default/b 3"]


async def test_bookmarks_come_about_every_minute_to_those_who_asked(cached: Fixture) -> None:
    asked, silent = await cached.maps.watch(bookmarks=True), await cached.maps.watch()
    await cached.put("a")
    await cached.clock.advance(65)
    await cached.put("b")
    await cached.clock.advance(65)
    assert [(e.type, e.revision) for e in await read(asked, 4)] == [
        ("ADDED", 2),
        ("BOOKMARK", 2),
        ("ADDED", 3),
        ("BOOKMARK", 3),
    ]
    assert [e.type for e in await read(silent, 2)] == ["ADDED", "ADDED"]
    assert asked.bookmark().object.metadata.resourceVersion == "3"


async def test_a_watch_from_the_future_waits_for_it(cached: Fixture) -> None:
    watch = await cached.maps.watch(resource_version="3", bookmarks=True)
    await cached.clock.advance(130)
    await cached.put("a")
    await cached.put("b")
    await cached.put("c")
    assert told(await read(watch, 1)) == ["ADDED default/c 4"]


async def test_a_callback_is_told_once_per_burst(cached: Fixture) -> None:
    calls: list[int] = []
    watch = await cached.maps.watch()
    watch.notify = lambda: calls.append(len(watch.queue))
    await cached.put("a")
    await cached.put("b")
    await cached.clock.advance(0)
    assert len(calls) == 1 and calls[0] > 0 and len(watch.queue) == 2
    told_before = len(calls)
    watch.queue.clear()
    await cached.put("c")
    await cached.clock.advance(0)
    assert len(calls) == told_before + 1
    watch.close()
    assert len(calls) == told_before + 2 and watch.ended


async def test_closing_the_cache_ends_every_watch(cached: Fixture) -> None:
    watch = await cached.maps.watch()
    waiting = asyncio.create_task(watch.take())
    await cached.clock.advance(0)
    await cached.cache.close()
    assert await asyncio.wait_for(waiting, 10) == []


async def test_every_watch_agrees_with_the_lists(cached: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Applied to the state that it began with, a watch gives every later state, filtered or not."""
    monkeypatch.setattr(resource, "WINDOW", 20)
    random_ = random.Random(3)
    watches: list[tuple[Watcher, dict[str, bytes], Any]] = []
    for step in range(200):
        name, app = f"n{random_.randrange(8)}", random_.choice(["web", "db"])
        present = cached.maps.get("default", name)
        await (
            cached.drop(name)
            if present and random_.random() < 0.3
            else cached.put(name, labels={"app": app}, x=str(step))
        )
        if step % 10 == 0:
            predicate = random_.choice([None, labelled("web")])
            begin = random_.randrange(max(step - 30, 1), step + 2)
            listing = await cached.maps.list(resource_version=str(begin + 1), match="Exact", predicate=predicate)
            watch = await cached.maps.watch(resource_version=str(listing.revision), predicate=predicate)
            watches.append((watch, {item.key: item.json for item in listing.items}, predicate))
    for watch, state, predicate in watches:
        for event in watch.queue:
            assert (event.item.key in state) == (event.type != "ADDED")
            state.pop(event.item.key, None)
            if event.type != "DELETED":
                state[event.item.key] = event.item.json
        newest = await cached.maps.list(predicate=predicate)
        assert state == {item.key: item.json for item in newest.items}
