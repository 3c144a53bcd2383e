"""The HTTPS client against a server that is told what to answer: framing, retries, errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from kybern.api.core import ConfigMap, Pod
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.client.framing import Lines
from kybern.client.http import HTTPClient
from kybern.client.kubeconfig import Connection
from kybern.clock import SystemClock

pytestmark = pytest.mark.anyio

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Impatient(SystemClock):
    """Real time, but pauses between attempts take none."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(0)


class Scripted:
    """Answers with the next entry of `script` and notes the requests."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[Any] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        self.bodies.append(await request.read())
        self.headers.append(request.headers)
        entry = self.script.pop(0) if self.script else {}
        if callable(entry):
            answer: web.StreamResponse = await entry(request)
            return answer
        code, body, headers = entry if isinstance(entry, tuple) else (200, entry, {})
        return web.Response(status=code, body=json.dumps(body).encode(), headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Scripted, HTTPClient]]:
    scripted = Scripted()
    runner = web.ServerRunner(web.Server(scripted.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = HTTPClient(Connection(f"http://127.0.0.1:{port}", token="secret"), Impatient())
    yield scripted, client
    await client.close()
    await runner.cleanup()


Server = tuple[Scripted, HTTPClient]


def status(code: int, reason: str, message: str = "no") -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}


def refusal(code: int, reason: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return code, status(code, reason), headers


POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "shop", "resourceVersion": "7"}}


async def test_every_verb_has_its_method_path_and_body(server: Server) -> None:
    scripted, client = server
    scripted.script = [POD] * 9
    pod = Pod(metadata=ObjectMeta(name="p", namespace="shop"))
    await client.get(Pod, "p", "shop", resource_version="0")
    await client.create(pod, field_manager="me")
    await client.update(pod)
    await client.update_status(pod)
    await client.patch(Pod, "p", "shop", {"a": 1}, type="strategic", dry_run=True)
    await client.delete(Pod, "p", "shop", uid="u", propagation="Orphan", grace_period=0)
    await client.delete_collection(Pod, "shop", labels="app in (a,b)", propagation="Background")
    await client.create_subresource(Pod, "p", "shop", "eviction", pod)
    assert scripted.requests == [
        "GET /api/v1/namespaces/shop/pods/p?resourceVersion=0",
        "POST /api/v1/namespaces/shop/pods?fieldManager=me",
        "PUT /api/v1/namespaces/shop/pods/p",
        "PUT /api/v1/namespaces/shop/pods/p/status",
        "PATCH /api/v1/namespaces/shop/pods/p?dryRun=All",
        "DELETE /api/v1/namespaces/shop/pods/p",
        "DELETE /api/v1/namespaces/shop/pods?labelSelector=app+in+%28a%2Cb%29&propagationPolicy=Background",
        "POST /api/v1/namespaces/shop/pods/p/eviction",
    ]
    assert scripted.headers[4]["Content-Type"] == "application/strategic-merge-patch+json"
    assert json.loads(scripted.bodies[5]) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Orphan",
        "gracePeriodSeconds": 0,
    }
    assert all(headers["Authorization"] == "Bearer secret" for headers in scripted.headers)


async def test_a_list_gives_objects_their_kind_and_tells_where_it_stands(server: Server) -> None:
    scripted, client = server
    item = {"metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": [], "unknownField": 1}}
    metadata = {"resourceVersion": "42", "continue": "more", "remainingItemCount": 3}
    scripted.script = [{"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": [item]}]
    listed = await client.list(Pod, "shop", fields="spec.nodeName=n", limit=1)
    assert (listed.items[0].kind, listed.items[0].metadata.name) == ("Pod", "p")
    assert (listed.resource_version, listed.continue_, listed.remaining) == ("42", "more", 3)
    assert scripted.requests == ["GET /api/v1/namespaces/shop/pods?fieldSelector=spec.nodeName%3Dn&limit=1"]


async def test_a_refusal_is_the_servers_status(server: Server) -> None:
    scripted, client = server
    scripted.script = [refusal(404, "NotFound")]
    with pytest.raises(StatusError) as raised:
        await client.get(ConfigMap, "c", "shop")
    assert (raised.value.code, raised.value.reason, raised.value.message) == (404, "NotFound", "no")


async def test_an_answer_that_is_no_status_is_still_told(server: Server) -> None:
    scripted, client = server

    async def proxy(request: web.Request) -> web.Response:
        return web.Response(status=403, text="<html>go away</html>")

    scripted.script = [proxy]
    with pytest.raises(StatusError) as raised:
        await client.get(ConfigMap, "c", "shop")
    assert (raised.value.code, raised.value.reason) == (403, "Forbidden")
    assert "go away" in raised.value.message


async def test_429_is_tried_again_after_the_time_the_server_asks_for(server: Server) -> None:
    scripted, client = server
    busy = (*refusal(429, "TooManyRequests")[:2], {"Retry-After": "3"})
    scripted.script = [busy, busy, POD]
    await client.create(Pod(metadata=ObjectMeta(name="p", namespace="shop")))
    assert len(scripted.requests) == 3
    assert client._clock.slept == [3.0, 3.0]


async def test_a_read_is_tried_again_when_the_server_is_unavailable_and_a_write_is_not(server: Server) -> None:
    scripted, client = server
    scripted.script = [refusal(503, "ServiceUnavailable"), POD, refusal(503, "ServiceUnavailable"), POD]
    await client.get(Pod, "p", "shop")
    assert len(scripted.requests) == 2
    with pytest.raises(StatusError, match="no"):
        await client.create(Pod(metadata=ObjectMeta(name="p", namespace="shop")))
    assert len(scripted.requests) == 3


async def drop(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_a_lost_connection_is_tried_again_for_reads_only(server: Server) -> None:
    scripted, client = server
    scripted.script = [drop, drop, POD]
    assert (await client.get(Pod, "p", "shop")).metadata.name == "p"
    scripted.requests.clear()
    scripted.script = [drop, POD]
    with pytest.raises(StatusError) as raised:
        await client.create(Pod(metadata=ObjectMeta(name="p", namespace="shop")))
    assert (raised.value.code, raised.value.reason) == (503, "ServiceUnavailable")
    assert len(scripted.requests) == 1


async def test_nobody_listening_is_503() -> None:
    client = HTTPClient(Connection("http://127.0.0.1:1"), Impatient())
    with pytest.raises(StatusError) as raised:
        await client.create(ConfigMap(metadata=ObjectMeta(name="c", namespace="shop")))
    assert raised.value.code == 503
    await client.close()


def watching(*pieces: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    return answer


def line(type: str, **metadata: Any) -> bytes:
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}
    return json.dumps({"type": type, "object": obj}).encode()


async def test_a_watch_is_read_line_by_line_however_it_is_cut(server: Server) -> None:
    scripted, client = server
    big = line("ADDED", name="big", annotations={"a": "x" * 200_000})
    text = big + b"\n" + line("MODIFIED", name="b") + b"\n\n" + line("BOOKMARK", resourceVersion="9") + b"\n"
    pieces = [text[i : i + 33_333] for i in range(0, len(text), 33_333)]
    scripted.script = [watching(*pieces)]
    events = [e async for e in client.watch(ConfigMap, "shop", resource_version="5", labels="a=b")]
    assert [(e.type, e.object.metadata.name) for e in events] == [
        ("ADDED", "big"),
        ("MODIFIED", "b"),
        ("BOOKMARK", None),
    ]
    assert events[2].object.metadata.resourceVersion == "9"
    assert len(events[0].object.metadata.annotations["a"]) == 200_000
    (request,) = scripted.requests
    assert request.startswith("GET /api/v1/namespaces/shop/configmaps?watch=true&resourceVersion=5&")
    assert "labelSelector=a%3Db&" in request
    assert "allowWatchBookmarks=true" in request


async def test_an_error_event_ends_a_watch_with_the_servers_status(server: Server) -> None:
    scripted, client = server
    error = json.dumps({"type": "ERROR", "object": status(410, "Expired", "too old")}).encode() + b"\n"
    scripted.script = [watching(line("ADDED", name="a") + b"\n", error)]
    seen = []
    with pytest.raises(StatusError) as raised:  # noqa: PT012
        async for event in client.watch(ConfigMap, resource_version="5"):
            seen.append(event.object.metadata.name)
    assert seen == ["a"]
    assert (raised.value.code, raised.value.reason) == (410, "Expired")


async def test_a_watch_that_breaks_off_is_503(server: Server) -> None:
    scripted, client = server

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line("ADDED", name="a") + b"\n" + b'{"type":"ADD')
        assert request.transport is not None
        request.transport.abort()
        return response

    scripted.script = [cut]
    with pytest.raises(StatusError) as raised:
        _ = [e async for e in client.watch(ConfigMap)]
    assert raised.value.code == 503


async def test_raw_does_not_raise(server: Server) -> None:
    scripted, client = server
    scripted.script = [refusal(404, "NotFound")]
    code, body = await client.raw("GET", "/nowhere?x=%2F", headers={"Accept": "text/plain"})
    assert (code, json.loads(body)["reason"]) == (404, "NotFound")
    assert scripted.requests == ["GET /nowhere?x=%2F"]
    assert scripted.headers[0]["Accept"] == "text/plain"


async def test_a_token_file_is_read_again(server: Server, tmp_path: Any) -> None:
    scripted, client = server
    file = tmp_path / "token"
    file.write_text("one\n")
    client.connection.token_file = file
    await client.raw("GET", "/a")
    file.write_text("two\n")
    await client.raw("GET", "/b")
    client._token_read = float("-inf")
    await client.raw("GET", "/c")
    assert [h["Authorization"] for h in scripted.headers] == ["Bearer one", "Bearer one", "Bearer two"]


async def test_impersonation_headers(server: Server) -> None:
    scripted, client = server
    client.connection.impersonate, client.connection.impersonate_groups = "jane", ("dev", "ops")
    await client.raw("GET", "/a")
    assert scripted.headers[0]["Impersonate-User"] == "jane"
    assert scripted.headers[0].getall("Impersonate-Group") == ["dev", "ops"]


def test_lines_come_whole() -> None:
    lines = Lines()
    assert list(lines.feed(b"a\nb")) == [b"a"]
    assert list(lines.feed(b"c")) == []
    assert list(lines.feed(b"d\n\n \ne\n")) == [b"bcd", b"e"]
