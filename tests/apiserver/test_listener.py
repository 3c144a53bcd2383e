"""Real HTTPS: certificates, keep-alive, bodies, and clients that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.body import LIMIT
from kybern.apiserver.user import User
from kybern.clock import SystemClock
from kybern.cluster.pki import PKI
from tests.apiserver.conftest import CONFIG_MAPS, Api

pytestmark = pytest.mark.anyio


class ByCertificate(Authenticator):
    name = "certificate"

    async def authenticate(self, credentials: Credentials) -> User | None:
        return User("holder" if credentials.certificate else "stranger", (credentials.peer,))


@pytest.fixture
def server_options() -> dict[str, Any]:
    return {"authenticators": [ByCertificate()]}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    made = PKI(Path(tmp_path_factory.mktemp("pki")), SystemClock())
    made.ensure()
    return made


class Wire:
    """One TLS connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        status, *lines = raw.decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        length = 0 if head else int(headers.get("Content-Length", 0))
        return int(status.split()[1]), headers, await asyncio.wait_for(self.reader.readexactly(length), 10)

    async def ask(
        self, method: str, target: str, body: bytes = b"", extra: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        await self.send(head.encode() + body)
        return await self.answer(head=method == "HEAD")

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""


@pytest.fixture
async def port(api: Api, pki: PKI) -> int:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    await api.server.serve(listening, pki.server_ssl_context())
    return int(listening.getsockname()[1])


async def connect(port: int, context: ssl.SSLContext) -> Wire:
    return Wire(
        *await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost", limit=1 << 24)
    )


@pytest.fixture
async def wire(port: int, pki: PKI) -> AsyncIterator[Wire]:
    made = await connect(port, pki.client_ssl_context(pki.admin))
    yield made
    made.writer.close()


async def test_the_client_certificate_reaches_the_authenticators(api: Api, port: int, pki: PKI, wire: Wire) -> None:
    assert (await wire.ask("GET", "/version"))[0] == 200
    assert api.rules.asked[-1].user.name == "holder"
    assert "127.0.0.1" in api.rules.asked[-1].user.groups
    stranger = await connect(port, pki.client_ssl_context())
    assert (await stranger.ask("GET", "/version"))[0] == 200
    assert api.rules.asked[-1].user.name == "stranger"
    stranger.writer.close()


async def test_one_connection_carries_many_requests(wire: Wire) -> None:
    for i in range(50):
        body = json.dumps({"metadata": {"name": f"m{i}"}}).encode()
        code, headers, _ = await wire.ask("POST", CONFIG_MAPS, body)
        assert (code, headers.get("Connection")) == (201, None)


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    targets = ["/version", "/livez", f"{CONFIG_MAPS}/zz"]
    await wire.send(b"".join(f"GET {t} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for t in targets))
    assert [(await wire.answer())[0] for _ in targets] == [200, 200, 404]


async def test_errors_are_status_objects_and_keep_the_connection(wire: Wire) -> None:
    for body in (b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000):
        code, headers, answer = await wire.ask("POST", CONFIG_MAPS, body)
        assert (code, headers["Content-Type"], json.loads(answer)["kind"]) == (400, "application/json", "Status")


async def test_headers_that_are_no_text_are_answered_as_any_others(api: Api, wire: Wire) -> None:
    body = json.dumps({"metadata": {"name": "odd"}}).encode()
    for header in ("Impersonate-User", "User-Agent", "X-Any"):
        head = (
            f"POST {CONFIG_MAPS}?dryRun=All HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{header}: ".encode()
        )
        await wire.send(head + b"\xff\xfe/1\r\n\r\n" + body)
        code, headers, answer = await wire.answer()
        assert (code in (201, 403), headers["Content-Type"]) == (True, "application/json"), header
        assert json.loads(answer)["kind"] in ("ConfigMap", "Status")
        if header == "Impersonate-User":
            assert api.rules.asked[-1].user.name == "\ufffd\ufffd/1"


async def test_a_body_over_the_limit_is_refused(wire: Wire) -> None:
    big = b'{"data":{"a":"' + b"x" * LIMIT + b'"}}'
    code, _, answer = await wire.ask("POST", CONFIG_MAPS, big)
    assert (code, json.loads(answer)["message"]) == (413, f"Request entity too large: limit is {LIMIT}")


async def test_a_chunked_body_over_the_limit_is_refused(wire: Wire) -> None:
    head = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    await wire.send(head + chunk * 4)
    assert (await wire.answer())[0] == 413


async def test_chunked_bodies_are_read(wire: Wire) -> None:
    head = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b'{"metadata":{"name":"chunky"}}'
    await wire.send(head + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:]))
    assert (await wire.answer())[0] == 201
    assert (await wire.ask("GET", f"{CONFIG_MAPS}/chunky"))[0] == 200


async def test_a_body_that_does_not_come_is_not_waited_for(api: Api, wire: Wire) -> None:
    await wire.send(f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    answer = asyncio.create_task(wire.answer())
    while not answer.done():
        await api.clock.advance(10)  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
    code, headers, body = await answer
    assert (code, headers["Connection"], json.loads(body)["reason"]) == (408, "close", "Timeout")


async def test_an_older_client_is_answered_and_let_go(wire: Wire) -> None:
    await wire.send(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (await wire.answer())[2] == b"ok"
    assert await wire.closed()


async def test_a_client_that_waits_for_permission_gets_it(wire: Wire) -> None:
    body = b'{"metadata":{"name":"polite"}}'
    head = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    await wire.send(head.encode())
    assert await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(body)
    assert (await wire.answer())[0] == 201


async def test_warnings_are_headers(wire: Wire) -> None:
    body = b'{"metadata":{"name":"w"},"a\\"b\\nc":1}'
    code, headers, _ = await wire.ask("POST", CONFIG_MAPS, body)
    assert code == 201
    assert headers["Warning"].startswith('299 - "unknown field ')


async def test_head_has_no_body(wire: Wire) -> None:
    code, headers, _ = await wire.ask("HEAD", "/version")
    assert (code, int(headers["Content-Length"]) > 100) == (200, True)
    assert (await wire.ask("GET", "/livez"))[2] == b"ok"


async def test_connection_close_is_honoured(wire: Wire) -> None:
    _, headers, _ = await wire.ask("GET", "/version", extra="Connection: close\r\n")
    assert headers["Connection"] == "close"
    assert await wire.closed()


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /version HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /version HTTP/1.1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_a_400(wire: Wire, data: bytes) -> None:
    await wire.send(data)
    raw = await asyncio.wait_for(wire.reader.read(), 10)
    assert raw.split()[1] == b"400"
    assert raw.endswith(b"\r\n\r\n400 Bad Request")


async def test_a_method_that_nobody_knows_is_not_allowed(wire: Wire) -> None:
    await wire.send(b"FROB /api/v1/pods HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = (await asyncio.wait_for(wire.reader.read(), 10)).partition(b"\r\n\r\n")
    assert head.split()[1] == b"405"
    assert json.loads(body)["message"] == "the server does not allow this method on the requested resource"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/v1/../../etc/passwd", 404),
        ("/api/v1/namespaces/%2e%2e/configmaps", 200),
        ("/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets", 404),
        ("/api/v1/namespaces/default/configmaps/%00", 404),
        ("/api/v1/namespaces/default/configmaps/%ff%fe", 404),
        ("/api/v1/namespaces//configmaps", 404),
        ("//api/v1/pods", 404),
        ("/api//v1/pods", 404),
        ("https://elsewhere/version", 200),
        ("/%zz", 404),
        ("/version?%zz&;&=&a=%", 200),
        ("/version#fragment", 404),
        ("*", 400),
    ],
)
async def test_path_tricks(wire: Wire, target: str, code: int) -> None:
    assert (await wire.ask("GET", target))[0] == code


async def test_a_client_that_leaves_in_the_middle_harms_nobody(port: int, pki: PKI, wire: Wire) -> None:
    for partial in (b"POST ", f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode()):
        leaver = await connect(port, pki.client_ssl_context(pki.admin))
        await leaver.send(partial)
        leaver.writer.transport.abort()
    assert (await wire.ask("GET", "/livez"))[0] == 200


async def test_a_certificate_of_another_ca_is_turned_away(port: int, tmp_path: Path, wire: Wire) -> None:
    other = PKI(tmp_path, SystemClock())
    other.ensure()
    context = other.client_ssl_context(other.admin)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def intrude() -> None:
        intruder = await connect(port, context)
        await intruder.ask("GET", "/version")

    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await intrude()
    assert (await wire.ask("GET", "/livez"))[0] == 200


@pytest.mark.parametrize("count", [100, 101, 250, 301])
async def test_a_long_list_is_written_in_pieces_and_whole(api: Api, wire: Wire, count: int) -> None:
    for i in range(count):
        await api.create(CONFIG_MAPS, {"metadata": {"name": f"m{i:04}"}, "data": {"k": "x" * (i * 7 % 500)}})
    code, headers, body = await wire.ask("GET", CONFIG_MAPS)
    listed = json.loads(body)
    assert (code, int(headers["Content-Length"])) == (200, len(body))
    assert [item["metadata"]["name"] for item in listed["items"]] == [f"m{i:04}" for i in range(count)]
    assert await api.get(CONFIG_MAPS) == listed
    assert (await wire.ask("HEAD", CONFIG_MAPS))[1]["Content-Length"] == str(len(body))
    packed = await wire.ask("GET", CONFIG_MAPS, extra="Accept-Encoding: gzip\r\n")
    assert json.loads(gzip.decompress(packed[2]) if "Content-Encoding" in packed[1] else packed[2]) == listed
    assert (await wire.ask("GET", "/livez"))[2] == b"ok"
