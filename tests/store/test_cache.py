"""The watch cache answers reads: fresh, exact at their revision, and in upstream's words when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest

from kybern.api.errors import StatusError
from kybern.store import resource
from kybern.store.interface import CompareFailed, Op
from kybern.store.paging import continue_token
from tests.store.conftest import CODEC, PREFIX, Fixture, config_map

pytestmark = pytest.mark.anyio


async def refused(answer: Awaitable[Any]) -> StatusError:
    with pytest.raises(StatusError) as error:
        await answer
    return error.value


async def test_a_write_is_seen_by_the_next_read(cached: Fixture) -> None:
    created = await cached.maps.create(config_map("a", x="1"))
    assert cached.maps.get("default", "a") is created or cached.maps.get("default", "a").revision == created.revision
    assert created.object.metadata.resourceVersion == str(created.revision) == "2"
    assert msgspec.json.decode(created.json)["metadata"]["resourceVersion"] == "2"
    updated = await cached.maps.update(config_map("a", x="2"), created.revision)
    assert cached.maps.get("default", "a").object.data == {"x": "2"} and updated.revision == 3
    deleted = await cached.maps.delete("default", "a", updated.revision)
    assert cached.maps.get("default", "a") is None
    assert deleted.object.metadata.resourceVersion == "4" and deleted.object.data == {"x": "2"}
    assert updated.object.metadata.resourceVersion == "3"


async def test_the_stored_bytes_do_not_tell_the_revision(cached: Fixture) -> None:
    item = await cached.put("a")
    entry = await cached.store.get(PREFIX + "default/a")
    assert entry is not None and entry.value == item.value and b"resourceVersion" not in entry.value


async def test_a_lost_race_names_what_won(cached: Fixture) -> None:
    first = await cached.put("a", x="1")
    await cached.put("a", x="2")
    for write in (
        cached.maps.create(config_map("a")),
        cached.maps.update(config_map("a", x="3"), first.revision),
        cached.maps.delete("default", "a", first.revision),
    ):
        with pytest.raises(CompareFailed) as failed:
            await write
        assert failed.value.current is not None and failed.value.current.revision == 3


async def test_an_update_that_changes_nothing_makes_no_revision(cached: Fixture) -> None:
    item = await cached.put("a", x="1")
    same = await cached.maps.update(config_map("a", x="1"), item.revision)
    assert same.revision == item.revision == cached.store.revision
    assert same.object.metadata.resourceVersion == str(item.revision)


async def test_every_concurrent_writer_reads_its_own_write(cached: Fixture) -> None:
    async def write(i: int) -> None:
        item = await cached.put(f"n{i}", x=str(i))
        for turn in range(3):
            item = await cached.maps.update(config_map(f"n{i}", x=f"{i}-{turn}"), item.revision)
            found = cached.maps.get("default", f"n{i}")
            assert found is not None and found.revision >= item.revision

    await asyncio.gather(*(write(i) for i in range(50)))
    assert len(cached.maps) == 50 and cached.cache.revision == cached.store.revision == 201


async def test_a_list_is_in_key_order_by_namespace_name_and_predicate(cached: Fixture) -> None:
    for namespace, name in (("b", "2"), ("a", "1"), ("a-b", "1"), ("a", "0")):
        await cached.put(name, namespace, labels={"even": str(int(name) % 2 == 0)})
    listing = await cached.maps.list()
    assert [item.key.removeprefix(PREFIX) for item in listing.items] == ["a-b/1", "a/0", "a/1", "b/2"]
    assert (listing.revision, listing.continue_, listing.remaining) == (5, "", None)
    assert await cached.names(namespace="a") == ["0", "1"]
    assert await cached.names(namespace="a", name="1") == ["1"]
    assert await cached.names(namespace="c") == []
    assert await cached.names(predicate=lambda obj: obj.metadata.labels["even"] == "True") == ["0", "2"]


async def pages(cached: Fixture, between: Any, limit: int = 10, **asked: Any) -> list[str]:
    names: list[str] = []
    token, revision = "", 0
    while True:
        listing = await cached.maps.list(limit=limit, continue_=token, **asked)
        assert len(listing.items) <= limit and revision in (0, listing.revision)
        names += [item.object.metadata.name for item in listing.items]
        token, revision = listing.continue_, listing.revision
        if not token:
            assert listing.remaining is None
            return names
        await between(len(names))


@pytest.mark.parametrize("window", [1024, 3])
async def test_pages_join_to_the_state_of_the_first(
    cached: Fixture, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(resource, "WINDOW", window)
    names = [f"n{i:02}" for i in range(35)]
    for name in names:
        await cached.put(name, x="old")

    async def disturb(done: int) -> None:
        await cached.put(f"n{done:02}-new")
        await cached.drop(f"n{done + 1:02}")
        await cached.put(f"n{done + 2:02}", x="new")
        await cached.put("n00", x=f"again {done}")

    assert await pages(cached, disturb) == names


async def test_pages_with_a_predicate_skip_without_loss(cached: Fixture) -> None:
    for i in range(30):
        await cached.put(f"n{i:02}", labels={"third": str(i % 3 == 0)})

    async def nothing(done: int) -> None:
        return None

    found = await pages(cached, nothing, limit=4, predicate=lambda obj: obj.metadata.labels["third"] == "True")
    assert found == [f"n{i:02}" for i in range(0, 30, 3)]


async def test_remaining_counts_what_follows_unless_filtered(cached: Fixture) -> None:
    for i in range(7):
        await cached.put(f"n{i}")
    assert (await cached.maps.list(limit=3)).remaining == 4
    assert (await cached.maps.list(limit=3, predicate=lambda obj: True)).remaining is None
    assert (await cached.maps.list(limit=7)).continue_ == ""


async def test_a_page_of_a_compacted_revision_is_410(cached: Fixture) -> None:
    for i in range(5):
        await cached.put(f"n{i}")
    token = (await cached.maps.list(limit=2)).continue_
    for i in range(resource.WINDOW + 5):
        await cached.put("n0", x=str(i))
    await cached.store.compact(cached.store.revision)
    error = await refused(cached.maps.list(limit=2, continue_=token))
    assert (error.code, error.reason) == (410, "Expired")
    assert error.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    error = await refused(cached.maps.list(resource_version="3", match="Exact"))
    assert (error.code, error.message) == (410, "The resourceVersion for the provided list is too old.")


@pytest.mark.parametrize("token", ["?", "e30", "bm90IGpzb24", continue_token(0, "x"), continue_token(5, "")])
async def test_a_broken_continue_token_is_400(cached: Fixture, token: str) -> None:
    error = await refused(cached.maps.list(limit=1, continue_=token))
    assert error.code == 400 and error.message.startswith("invalid continue token: continue key is not valid")


async def test_continue_and_resource_version_exclude_each_other(cached: Fixture) -> None:
    error = await refused(cached.maps.list(continue_=continue_token(1, "x"), resource_version="5"))
    assert error.message == "specifying resource version is not allowed when using continue"


async def test_what_a_resource_version_asks_for(cached: Fixture) -> None:
    await cached.put("a")
    await cached.put("b")
    await cached.put("c")
    newest = await cached.maps.list(resource_version="0")
    assert (len(newest.items), newest.revision) == (3, 4)
    not_older = await cached.maps.list(resource_version="3", match="NotOlderThan")
    assert (len(not_older.items), not_older.revision) == (3, 4)
    exact = await cached.maps.list(resource_version="3", match="Exact")
    assert (len(exact.items), exact.revision) == (2, 3)
    legacy = await cached.maps.list(resource_version="3", limit=1)
    assert (len(legacy.items), legacy.revision, legacy.remaining) == (1, 3, 1)


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "٣", "0x2"])
async def test_a_resource_version_that_is_no_number_is_400(cached: Fixture, text: str) -> None:
    assert (await refused(cached.maps.list(resource_version=text))).code == 400
    assert (await refused(cached.maps.watch(resource_version=text))).code == 400
    assert (await refused(cached.maps.fresh(text))).code == 400


async def test_a_revision_in_the_future_is_waited_for_and_then_504(cached: Fixture) -> None:
    waiting = asyncio.create_task(cached.maps.list(resource_version="3"))
    await cached.clock.advance(1)
    await cached.put("a")
    assert not waiting.done()
    await cached.put("b")
    await cached.clock.advance(0)
    assert len((await waiting).items) == 2
    too_far = asyncio.create_task(refused(cached.maps.fresh("99")))
    await cached.clock.advance(10)
    error = await too_far
    assert (error.code, error.reason) == (504, "Timeout")
    assert error.message == "Too large resource version: 99, current: 3"
    assert error.details is not None and error.details["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_a_resource_added_late_has_what_was_there_before(cached: Fixture) -> None:
    await cached.store.commit([Op("/registry/secrets/ns/s", b'{"kind":"ConfigMap","metadata":{"name":"s"}}')])
    await cached.put("a")
    secrets = await cached.cache.add("/registry/secrets/", CODEC)
    item = secrets.get("ns", "s")
    assert item is not None and (item.revision, item.object.metadata.resourceVersion) == (2, "2")
    assert (await secrets.list()).revision == 3
    await secrets.create(config_map("t", "ns"))
    assert len(secrets) == 2 and len(cached.maps) == 1


async def test_prefixes_may_not_overlap(cached: Fixture) -> None:
    for prefix in ("/registry/", PREFIX, PREFIX + "x/", "/registry/pods"):
        with pytest.raises(ValueError):
            await cached.cache.add(prefix, CODEC)


async def test_a_removed_resource_ends_its_watches(cached: Fixture) -> None:
    watcher = await cached.maps.watch()
    await cached.cache.remove(PREFIX)
    assert watcher.ended and await watcher.take() == []
    await cached.cache.add(PREFIX, CODEC)


async def test_a_changed_shared_object_is_found_out(cached: Fixture) -> None:
    item = await cached.put("a", x="1")
    found = cached.maps.get("default", "a")
    assert found is not None
    found.object.data["x"] = "changed behind the store's back"
    assert cached.cache.mutated() == [item.key]
    found.object.data["x"] = "1"


async def test_history_is_kept_for_five_minutes(cached: Fixture) -> None:
    await cached.put("a")
    for _ in range(25):
        await cached.clock.advance(10)
    await cached.put("a", x="1")
    assert cached.store.oldest == 1
    for _ in range(6):
        await cached.clock.advance(10)
    assert cached.store.oldest == 2
    await cached.clock.advance(600)
    assert cached.store.oldest == 3
    assert await cached.names() == ["a"]


async def test_no_more_revisions_are_kept_than_allowed(cached: Fixture) -> None:
    cached.cache._keep_revisions = 10
    for i in range(30):
        await cached.put("a", x=str(i))
    await cached.clock.advance(11)
    assert cached.store.oldest == cached.store.revision - 10


async def test_objects_whose_time_is_over_are_deleted(cached: Fixture) -> None:
    end = cached.clock.now() + 100
    notes = await cached.cache.add(
        "/registry/notes/", CODEC, expires=lambda obj: end if obj.data["keep"] == "no" else end * 2
    )
    for i in range(resource.LOOK_AT_ONCE + 20):
        await notes.create(config_map(f"n{i:04}", "default", keep="no" if i % 100 else "yes"))
    watch = await notes.watch(resource_version=str(cached.cache.revision))
    await cached.clock.advance(65)
    assert len(notes) == resource.LOOK_AT_ONCE + 20
    await cached.clock.advance(65)
    assert [item.key[-5:] for item in (await notes.list()).items] == [f"n{i:04}" for i in range(0, 520, 100)]
    assert {event.type for event in watch.queue} == {"DELETED"} and len(watch.queue) == 520 - 6
