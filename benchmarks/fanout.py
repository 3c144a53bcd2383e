"""One event to a thousand watchers, each on a TLS connection of its own."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.objects import config_map
from benchmarks.server import Server
from benchmarks.table import Row, limit
from benchmarks.wire import Address, ask_json, context, request

WATCHERS = 1000
EVENTS = 300
WARM_UP = 30
PATH = "/api/v1/namespaces/default/configmaps"
MARK = b'"sent":"'


def measure() -> Iterator[Row]:
    with Server(scheduler={"enabled": False}, controllers={"enabled": False}) as server:
        ask_json(server.address, "POST", PATH, config_map("seen", 400))
        watchers = Watchers(server.address)
        watchers.run(WARM_UP, pause=0.0)
        bursts = watchers.run(EVENTS, pause=0.0)
        spaced = watchers.run(40, pause=0.1)
    rate, lost = bursts.delivered / bursts.seconds, bursts.missing + spaced.missing
    p99 = sorted(spaced.latencies)[int(len(spaced.latencies) * 0.99)] * 1000
    met = limit(rate, at_least=60_000) and limit(p99, at_most=39) and not lost
    figure = f"{rate:,.0f} deliveries/s, p99 {p99:.0f} ms, {lost} dropped"
    yield Row(
        "one event to 1,000 watchers", "42k/s, p99 78 ms, drops", ">= 60k/s, p99 <= 39 ms, none dropped", figure, met
    )


class Outcome:
    """What the watchers received of a run of events."""

    def __init__(self) -> None:
        self.delivered = 0
        self.missing = 0
        self.seconds = 0.0
        self.latencies: list[float] = []


class Watchers:
    """Watch connections, read by one loop without any framework between."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        version = ask_json(address, "GET", PATH)["metadata"]["resourceVersion"]
        ask = request("GET", f"{PATH}?watch=true&resourceVersion={version}")
        for _ in range(WATCHERS):
            plain = socket.create_connection((address.host, address.port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = context(address.pki).wrap_socket(plain, server_hostname=address.host)
            connection.sendall(ask)
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)
        self._settle()

    def _settle(self) -> None:
        """Read the answers' heads, until nothing comes for a while."""
        while ready := self._selector.select(0.5):
            for key, _ in ready:
                _drain(key.fileobj)

    def run(self, events: int, pause: float) -> Outcome:
        """Change the object so often and count what arrives until all is in, or nothing comes for seconds."""
        outcome = Outcome()
        writer = threading.Thread(target=_change, args=(self._address, events, pause))
        writer.start()
        arrived: list[tuple[float, bytes]] = []
        began = last = time.perf_counter()
        while outcome.delivered < events * WATCHERS:
            ready = self._selector.select(5)
            if not ready:
                break
            for key, _ in ready:
                data = _drain(key.fileobj)
                last = time.perf_counter()
                outcome.delivered += data.count(MARK)
                if pause:
                    arrived.append((last, data))
        writer.join()
        outcome.seconds = last - began
        outcome.missing = events * WATCHERS - outcome.delivered
        # Only now: a thousand watchers share this loop, and what it does for one keeps the others waiting.
        outcome.latencies = [now - _sent(data) for now, data in arrived if MARK in data]
        return outcome


def _sent(data: bytes) -> float:
    """When the newest of some events was sent."""
    at = data.rindex(MARK) + len(MARK)
    return float(data[at : data.index(b'"', at)])


def _drain(connection: Any) -> bytes:
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
            if len(piece) < 16384 and not connection.pending():
                break
    except (ssl.SSLWantReadError, BlockingIOError):
        pass
    return data


def _change(address: Address, events: int, pause: float) -> None:
    """Write one object again and again on one connection; each write says when it was sent."""
    import http.client

    import msgspec

    connection = http.client.HTTPSConnection(address.host, address.port, context=context(address.pki), timeout=60)
    for _ in range(events):
        patch = {"data": {"sent": repr(time.perf_counter())}}
        headers = {"Content-Type": "application/merge-patch+json"}
        connection.request("PATCH", f"{PATH}/seen", msgspec.json.encode(patch), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"PATCH: {answer.status}")
        if pause:
            time.sleep(pause)
    connection.close()
