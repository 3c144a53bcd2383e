"""watch, over a plain connection: framing, bookmarks, selectors, tables, endings."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kybern.store.paging import too_large
from kybern.store.watcher import too_old
from tests.apiserver.conftest import CONFIG_MAPS, Api, config_map
from tests.apiserver.test_lists import PARTIAL, TABLE

pytestmark = pytest.mark.anyio


class Connection:
    """A server's address and a client session."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    def watch(self, target: str, **headers: str) -> Any:
        return self.session.get(self.url + target, headers=headers)


@pytest.fixture
async def connection(api: Api) -> AsyncIterator[Connection]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    await api.server.serve(listening, None)
    port = listening.getsockname()[1]
    async with aiohttp.ClientSession() as session:
        yield Connection(f"http://127.0.0.1:{port}", session)


async def event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    line = await asyncio.wait_for(response.content.readline(), 10)
    return json.loads(line) if line else {}


async def test_changes_arrive_as_they_happen(api: Api, connection: Connection) -> None:
    revision = (await api.get(CONFIG_MAPS))["metadata"]["resourceVersion"]
    async with connection.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={revision}") as response:
        assert response.headers["Content-Type"] == "application/json"
        made = await api.create(CONFIG_MAPS, config_map("a"))
        assert await event(response) == {"type": "ADDED", "object": made}
        changed = (await api.patch(f"{CONFIG_MAPS}/a", {"data": {"b": "2"}})).json
        assert await event(response) == {"type": "MODIFIED", "object": changed}
        await api.ask("DELETE", f"{CONFIG_MAPS}/a")
        gone = await event(response)
        assert gone["type"] == "DELETED"
        assert int(gone["object"]["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


async def test_a_watch_without_a_version_begins_with_what_there_is(api: Api, connection: Connection) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with connection.watch(f"{CONFIG_MAPS}?watch=1") as response:
        assert (await event(response))["object"]["metadata"]["name"] == "a"


async def test_the_older_watch_paths(api: Api, connection: Connection) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with connection.watch("/api/v1/watch/namespaces/default/configmaps") as response:
        assert (await event(response))["type"] == "ADDED"


async def test_the_older_path_of_one_object_shows_that_one_only(api: Api, connection: Connection) -> None:
    async with connection.watch("/api/v1/watch/namespaces/default/configmaps/b") as response:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.create(CONFIG_MAPS, config_map("b"))
        assert (await event(response))["object"]["metadata"]["name"] == "b"


async def test_a_watch_that_the_cache_ends_says_why(api: Api, connection: Connection) -> None:
    async with connection.watch(f"{CONFIG_MAPS}?watch=1") as response:
        api.server.resources.named("configmaps").cache.end_watches(too_old(1, 5))
        last = await event(response)
        assert (last["type"], last["object"]["code"], last["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await event(response) == {}


async def test_initial_events_end_with_a_bookmark(api: Api, connection: Connection) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with connection.watch(f"{CONFIG_MAPS}?{query}") as response:
        assert (await event(response))["type"] == "ADDED"
        mark = await event(response)
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_initial_events_of_a_revision_to_come_are_told_to_wait(
    api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_vain(revision: int) -> None:
        raise too_large(revision, 7)

    monkeypatch.setattr(api.server.resources.watch_cache, "wait_for", in_vain)
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999"
    async with connection.watch(f"{CONFIG_MAPS}?{query}") as response:
        last = await event(response)
        status = last["object"]
        assert (last["type"], status["code"], status["reason"]) == ("ERROR", 504, "Timeout")
        assert status["message"] == "Too large resource version: 999999, current: 7"
        assert (status["details"]["retryAfterSeconds"], status["details"]["causes"][0]["reason"]) == (
            1, "ResourceVersionTooLarge",
        )  # fmt: skip


async def test_objects_enter_and_leave_a_selection(api: Api, connection: Connection) -> None:
    async with connection.watch(f"{CONFIG_MAPS}?watch=1&labelSelector=on%3Dyes") as response:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})
        assert (await event(response))["type"] == "ADDED"
        await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"on": "no"}}})
        assert (await event(response))["type"] == "DELETED"


async def test_a_watch_of_one_object(api: Api, connection: Connection) -> None:
    async with connection.watch(f"{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Db") as response:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.create(CONFIG_MAPS, config_map("b"))
        assert (await event(response))["object"]["metadata"]["name"] == "b"


async def test_tables_are_watched_row_by_row(api: Api, connection: Connection) -> None:
    async with connection.watch(f"{CONFIG_MAPS}?watch=1", Accept=TABLE) as response:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.create(CONFIG_MAPS, config_map("b"))
        first, second = await event(response), await event(response)
        assert first["object"]["kind"] == "Table"
        assert [c["name"] for c in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
        assert second["object"]["columnDefinitions"] is None
        assert [e["object"]["rows"][0]["cells"][0] for e in (first, second)] == ["a", "b"]


async def test_ages_in_a_watched_table_are_of_the_moment(api: Api, connection: Connection) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with connection.watch(f"{CONFIG_MAPS}?watch=1", Accept=TABLE) as response:
        assert (await event(response))["object"]["rows"][0]["cells"] == ["a", "1", "0s"]
        await api.clock.advance(90)  # type: ignore[attr-defined]
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"b": "2"}})
        assert (await event(response))["object"]["rows"][0]["cells"] == ["a", "2", "90s"]


async def test_metadata_alone_is_watched(api: Api, connection: Connection) -> None:
    async with connection.watch(f"{CONFIG_MAPS}?watch=1", Accept=PARTIAL) as response:
        await api.create(CONFIG_MAPS, config_map("a"))
        assert set((await event(response))["object"]) == {"kind", "apiVersion", "metadata"}


async def test_another_version_is_watched_in_its_own_form(api: Api, connection: Connection) -> None:
    core = "/api/v1/namespaces/default/events"
    async with connection.watch("/apis/events.k8s.io/v1/namespaces/default/events?watch=1") as response:
        about = {"kind": "Pod", "namespace": "default", "name": "p"}
        await api.create(core, {"metadata": {"name": "e"}, "involvedObject": about, "message": "m"})
        seen = (await event(response))["object"]
        assert (seen["apiVersion"], seen["note"]) == ("events.k8s.io/v1", "m")


async def test_a_watch_ends_when_its_time_is_up(api: Api, connection: Connection) -> None:
    query = "watch=1&timeoutSeconds=30&allowWatchBookmarks=true"
    async with connection.watch(f"{CONFIG_MAPS}?{query}") as response:
        await api.clock.advance(31)  # type: ignore[attr-defined]
        assert (await event(response))["type"] == "BOOKMARK"
        assert await event(response) == {}


async def test_history_that_is_gone_is_told_as_the_only_event(api: Api, connection: Connection) -> None:
    first = await api.create(CONFIG_MAPS, config_map("a"))
    for i in range(1100):
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"n": str(i)}})
    cache = api.server.resources.watch_cache
    await cache.store.compact(cache.revision)
    async with connection.watch(
        f"{CONFIG_MAPS}?watch=1&resourceVersion={first['metadata']['resourceVersion']}"
    ) as response:
        only = await event(response)
        assert (response.status, only["type"], only["object"]["code"], only["object"]["reason"]) == (
            200,
            "ERROR",
            410,
            "Expired",
        )
        assert await event(response) == {}


async def test_a_client_that_goes_leaves_no_watch_behind(api: Api, connection: Connection) -> None:
    cache = api.server.resources.named("configmaps").cache
    response = await connection.watch(f"{CONFIG_MAPS}?watch=1")
    assert len(cache._watchers) == 1
    response.close()
    for _ in range(500):
        if not cache._watchers:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the watch is still there")


async def test_a_client_that_does_not_read_gets_every_event_in_the_end(api: Api, connection: Connection) -> None:
    count, size = 60, 100_000
    async with connection.watch(f"{CONFIG_MAPS}?watch=1") as response:
        for i in range(count):
            await api.create(CONFIG_MAPS, {"metadata": {"name": f"m{i:03}"}, "data": {"k": "x" * size}})
        seen = [json.loads(await _long_line(response))["object"]["metadata"]["name"] for _ in range(count)]
    assert seen == [f"m{i:03}" for i in range(count)]


async def test_a_large_beginning_arrives_whole(api: Api, connection: Connection) -> None:
    """More than goes out in one write is queued when the watch begins, and nothing changes afterwards."""
    for i in range(40):
        await api.create(CONFIG_MAPS, {"metadata": {"name": f"m{i:03}"}, "data": {"k": "x" * 100_000}})
    async with connection.watch(f"{CONFIG_MAPS}?watch=1") as response:
        seen = [json.loads(await _long_line(response))["object"]["metadata"]["name"] for _ in range(40)]
    assert seen == [f"m{i:03}" for i in range(40)]


async def _long_line(response: aiohttp.ClientResponse) -> bytes:
    pieces = []
    while not pieces or not pieces[-1].endswith(b"\n"):
        pieces.append(await asyncio.wait_for(_until_newline(response), 10))
    return b"".join(pieces)


async def _until_newline(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readuntil(b"\n")
    except ValueError:
        return await response.content.read(1 << 16)


async def test_closing_the_server_ends_watches(api: Api, connection: Connection) -> None:
    async with connection.watch(f"{CONFIG_MAPS}?watch=1") as response:
        await api.server.close()
        assert await event(response) == {}
