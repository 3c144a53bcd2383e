"""Logs, as the API server asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.api.errors import StatusError
from kybern.apiserver.nodes import LogOptions, NodeStreams
from kybern.node.streams import Streams
from tests.node.world import World, container, pod, world

pytestmark = pytest.mark.anyio

LINES = "for i in 1 2 3 4 5; do echo line $i; sleep 10; done"


async def read(w: World, name: str = "p", **options: Any) -> str:
    chunks = await w.agent.streams.logs("n1", w.client.pod(name), "c", LogOptions(**options))
    return b"".join([chunk async for chunk in chunks]).decode()


def writer(script: str = LINES, **spec: Any) -> Any:
    return pod("p", container("c", "busybox", command=["sh", "-c", script]), **{"restartPolicy": "Never", **spec})


def test_the_streams_have_the_shape_the_server_wants() -> None:
    wanted = {name for name in vars(NodeStreams) if not name.startswith("_")}
    assert wanted <= set(dir(Streams))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["line 1", "line 2", "line 3"]),
        ({"tail_lines": 2}, ["line 2", "line 3"]),
        ({"tail_lines": 0}, []),
        ({"since_seconds": 8}, ["line 3"]),
        ({"since_time": "2026-01-01T00:00:05Z"}, ["line 2", "line 3"]),
        ({"limit_bytes": 10}, ["line 1", "lin"]),
        ({"stream": "Stderr"}, []),
        ({"timestamps": True, "tail_lines": 1}, ["2026-01-01T00:00:20.000000000Z line 3"]),
    ],
)
async def test_what_was_written_so_far(tmp_path: Path, options: dict[str, Any], expected: list[str]) -> None:
    async with world(tmp_path) as w:
        await w.run(writer())
        await w.pass_time(25)
        assert (await read(w, **options)).splitlines() == expected


async def test_following_gets_lines_as_they_come_and_ends_with_the_container(tmp_path: Path) -> None:
    import asyncio

    async with world(tmp_path) as w:
        await w.run(writer())
        await w.pass_time(15)
        got: list[bytes] = []

        async def follow() -> None:
            chunks = await w.agent.streams.logs("n1", w.client.pod("p"), "c", LogOptions(follow=True, tail_lines=1))
            async for chunk in chunks:
                got.append(chunk)

        task = asyncio.create_task(follow())
        await w.settle()
        assert got == [b"line 2\n"]
        await w.pass_time(10)
        assert got == [b"line 2\n", b"line 3\n"]
        await w.pass_time(60)
        assert task.done()
        assert got[-1] == b"line 5\n"


async def test_a_restarted_container_has_a_previous_log(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(writer("echo try; exit 1", restartPolicy="Always"))
        assert await read(w, previous=True) == "try\n"
        await w.run(pod("q"))
        with pytest.raises(StatusError, match='previous terminated container "c" in pod "q" not found'):
            await read(w, "q", previous=True)


@pytest.mark.parametrize(
    ("annotations", "image", "message"),
    [
        ({"start-delay": "100"}, "nginx:1", "ContainerCreating"),
        ({}, "nginx:does-not-exist", "trying and failing to pull image"),
        ({"create-error": "x"}, "nginx:1", "CreateContainerError"),
    ],
)
async def test_a_container_that_has_not_run_has_no_log(
    tmp_path: Path, annotations: dict[str, str], image: str, message: str
) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container("c", image), annotations=annotations))
        with pytest.raises(StatusError) as refused:
            await read(w)
        assert refused.value.code == 400
        assert refused.value.message == f'container "c" in pod "p" is waiting to start: {message}'


async def test_a_silent_node_answers_no_logs(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        await w.agent.stop_node("n1")
        with pytest.raises(StatusError, match="does not answer"):
            await read(w)


async def test_written_lines_of_the_vocabulary(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"logs": "one\ntwo"}))
        assert await read(w) == "one\ntwo\n"
        await w.run(pod("q", annotations={"log-line": "tick", "log-every": "2"}))
        await w.pass_time(5)
        assert await read(w, "q") == "tick\ntick\ntick\n"


async def test_what_is_not_served_yet_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        streams = w.agent.streams
        for call in (
            streams.exec("n1", None, "c", None, None),
            streams.attach("n1", None, "c", None, None),
            streams.port_forward("n1", None, (80,), None),
        ):
            with pytest.raises(StatusError) as refused:
                await call
            assert refused.value.code == 501


async def test_a_container_knows_its_pods_hostname(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(writer("echo $HOSTNAME", hostname="work-2"))
        assert await read(w) == "work-2\n"
