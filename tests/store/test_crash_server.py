"""`kill -9` of a whole server under load: what clients were told holds, and their watches go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kybern.api.core import ConfigMap
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.client.http import HTTPClient
from kybern.client.kubeconfig import load

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("KYBERN_CRASH_ROUNDS", "20")) // 10 or 1
WRITERS = 8
NAME = "crash"


class Told:
    """All that the server has told its clients."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        """Object -> the highest count whose write was acknowledged."""
        self.revisions: dict[int, tuple[str, int]] = {}
        self.watched: dict[str, int] = {}
        """Object -> the count that the watch told last."""
        self.last_revision = ""
        self.news = asyncio.Event()

    def acknowledge(self, obj: Any) -> None:
        name, count = self.note(obj)
        self.acknowledged[name] = max(count, self.acknowledged.get(name, 0))
        self.news.set()

    async def more(self, writes: int) -> None:
        """Return when so many more writes have been acknowledged, however long a loaded machine takes for them."""
        enough = sum(self.acknowledged.values()) + writes
        while sum(self.acknowledged.values()) < enough or len(self.acknowledged) < WRITERS + 1:
            self.news.clear()
            await self.news.wait()

    def note(self, obj: Any) -> tuple[str, int]:
        fact = (obj.metadata.name, int(obj.data["count"]))
        known = self.revisions.setdefault(int(obj.metadata.resourceVersion), fact)
        assert known == fact, f"revision {obj.metadata.resourceVersion} was used for {known} and for {fact}"
        return fact

    def watch(self, obj: Any) -> None:
        name, count = self.note(obj)
        assert count == self.watched.get(name, 0) + 1, f"{name}: the watch told {count} after {self.watched.get(name)}"
        self.watched[name] = count


@contextlib.asynccontextmanager
async def server(home: Path, port: int) -> AsyncIterator[tuple[subprocess.Popen[bytes], HTTPClient]]:
    """A server process that is ready, killed without mercy at the end."""
    process, client = launch(home, port), None
    try:
        try:
            client = await asyncio.wait_for(ready(home / NAME / "kubeconfig", process), 60)
        except (TimeoutError, AssertionError):
            pytest.fail("the server did not become ready: " + (home / "log").read_text()[-3000:])
        yield process, client
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if client is not None:
            await client.close()


def launch(home: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kybern.cli.main", "up", "--foreground", "--no-kubeconfig"]
    command += ["--name", NAME, "--nodes", "0", "--port", str(port)]
    with (home / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "KYBERN_HOME": str(home)})


def written(file: Path) -> bool:
    return file.exists()


async def ready(kubeconfig: Path, process: subprocess.Popen[bytes]) -> HTTPClient:
    """A client, once the server says that it is ready."""
    while True:
        assert process.poll() is None, "the server ended by itself"
        if written(kubeconfig):
            client = HTTPClient(load(kubeconfig), timeout=10)
            with contextlib.suppress(StatusError):
                if (await client.raw("GET", "/readyz"))[0] == 200:
                    return client
            await client.close()
        await asyncio.sleep(0.05)


def counter(name: str, count: int, revision: str | None = None) -> Any:
    metadata = ObjectMeta(name=name, namespace="default", resourceVersion=revision, labels={"test": "crash"})
    return ConfigMap(metadata=metadata, data={"count": str(count)})


async def write(client: HTTPClient, name: str, told: Told) -> None:
    """Count one object up; many writers may share it."""
    while True:
        try:
            try:
                current = await client.get(ConfigMap, name, "default")
                told.note(current)
                stored = await client.update(
                    counter(name, int(current.data["count"]) + 1, current.metadata.resourceVersion)
                )
            except StatusError as error:
                if error.reason != "NotFound":
                    raise
                stored = await client.create(counter(name, 1))
            told.acknowledge(stored)
        except StatusError as error:
            if error.reason not in ("Conflict", "AlreadyExists"):
                return


async def follow(client: HTTPClient, told: Told) -> None:
    """Watch from where the last watch was cut off."""
    with contextlib.suppress(StatusError):
        async for event in client.watch(ConfigMap, "default", resource_version=told.last_revision, labels="test=crash"):
            if event.type != "BOOKMARK":
                told.watch(event.object)
            told.last_revision = event.object.metadata.resourceVersion


async def test_kill_9_of_a_server_under_load(tmp_path: Path) -> None:
    told, random_ = Told(), random.Random(4)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(ROUNDS):
        async with server(tmp_path, port) as (process, client):
            if not told.last_revision:
                told.last_revision = (await client.list(ConfigMap, "default")).resource_version
            names = [f"own-{i}" for i in range(WRITERS)] + ["shared"] * 3
            tasks = [asyncio.create_task(write(client, name, told)) for name in names]
            tasks.append(asyncio.create_task(follow(client, told)))
            await told.more(random_.randrange(20, 200))
            process.send_signal(signal.SIGKILL)
            done, pending = await asyncio.wait(tasks, timeout=1)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            for task in done:
                task.result()

    async with server(tmp_path, port) as (_, client):
        listing = await client.list(ConfigMap, "default", labels="test=crash")
        state = {obj.metadata.name: told.note(obj)[1] for obj in listing.items}
        catching_up = asyncio.create_task(follow(client, told))
        for _ in range(1000):
            if told.watched == state or catching_up.done():
                break
            await asyncio.sleep(0.02)
        catching_up.cancel()
        await asyncio.gather(catching_up, return_exceptions=True)
    assert told.watched == state
    for name, count in told.acknowledged.items():
        assert state[name] >= count
    assert len(told.acknowledged) == WRITERS + 1
