"""The clock of a running test cluster: follows real time at its rate, stands still, is advanced, survives restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from kybern.cli.clock import seconds
from kybern.cli.errors import CommandError
from kybern.clock import PacedClock, SystemClock
from kybern.cluster import clocks
from kybern.cluster.cluster import Cluster, running
from kybern.cluster.state import State
from kybern.config import APIConfig, Config, ConfigError, StoreConfig, TimeConfig, structure

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def at_work(clock: PacedClock) -> AsyncIterator[PacedClock]:
    task = asyncio.create_task(clock.run())
    try:
        yield clock
    finally:
        task.cancel()


async def until(condition: Any) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")


async def test_follows_real_time_at_its_rate() -> None:
    async with at_work(PacedClock(1000.0, rate=3600.0)) as clock:
        woken: list[float] = []
        for delay in (20, 10):
            clock.call_later(delay, lambda: woken.append(clock.now()))
        await until(lambda: len(woken) == 2)
        assert woken == [1010.0, 1020.0]
        clock.rate = 0
        await asyncio.sleep(0.05)
        frozen = clock.now()
        await asyncio.sleep(0.05)
        assert clock.now() == frozen


async def test_frozen_it_moves_only_when_advanced() -> None:
    async with at_work(PacedClock(0.0, rate=0.0)) as clock:
        slept = asyncio.create_task(clock.sleep(3600))
        await asyncio.sleep(0.05)
        assert not slept.done()
        await clock.advance(3600)
        await slept
        assert clock.now() == 3600


async def test_two_who_advance_it_take_turns() -> None:
    clock = PacedClock(0.0, rate=0.0)
    await asyncio.gather(clock.advance(60), clock.advance(40))
    assert clock.now() == 100


def test_certificates_are_judged_by_real_time() -> None:
    assert isinstance(PacedClock(0.0).outside, SystemClock)
    system = SystemClock()
    assert system.outside is system


def test_a_virtual_clock_goes_on_after_a_restart_from_where_it_was(tmp_path: Path) -> None:
    state, config = State(tmp_path), TimeConfig(clock="virtual", rate=0, start="2030-01-01T00:00:00Z")
    first = clocks.chosen(config, state)
    assert clocks.shown(first).now == "2030-01-01T00:00:00Z"
    first._elapsed = 86400.0
    clocks.save(first, state)
    assert clocks.shown(clocks.chosen(config, state)) == clocks.Shown("virtual", "2030-01-02T00:00:00Z", 0.0)
    assert isinstance(clocks.chosen(TimeConfig(), state), SystemClock)
    state.clock.write_text("rubbish")
    assert clocks.shown(clocks.chosen(config, state)).now == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("time", "error"),
    [
        ({"clock": "sundial"}, "time.clock: 'sundial' is neither 'system' nor 'virtual'"),
        ({"rate": -1.0}, "time.rate: -1 is not between 0 (stands still) and 3600"),
        ({"rate": "fast"}, "time.rate: 'fast' is not a number"),
    ],
)
def test_settings_that_cannot_be_are_refused(time: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        structure({"time": time}, Config, "")
    assert str(raised.value) == error


def test_a_start_that_is_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"time\.start: 'noon' is not a time"):
        clocks.chosen(TimeConfig(clock="virtual", start="noon"), State(tmp_path))


@pytest.mark.parametrize(
    ("text", "meant"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400), ("0s", 0)],
)
def test_durations_are_written_as_kubectl_does(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "x", "1x", "-5m", "1h30", "m", "5 m", "1e9"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is not a duration; write it as"):
        seconds(text)


@asynccontextmanager
async def cluster_of(time: TimeConfig, tmp_path: Path) -> AsyncIterator[Cluster]:
    config = Config(name="test", api=APIConfig(port=0), store=StoreConfig(driver="memory"), time=time)
    async with running(config, state_dir=tmp_path / "cluster") as cluster:
        yield cluster


async def ask(cluster: Cluster, method: str, query: str = "") -> Any:
    code, body = await cluster.client.raw(method, f"/kybern/clock{query}")
    return code, msgspec.json.decode(body)


async def test_a_cluster_tells_and_moves_its_time(tmp_path: Path) -> None:
    time = TimeConfig(clock="virtual", rate=0, start="2030-01-01T00:00:00Z")
    async with cluster_of(time, tmp_path) as cluster:
        shown = {"clock": "virtual", "now": "2030-01-01T00:00:00Z", "rate": 0.0, "left": 0.0}
        assert await ask(cluster, "GET") == (200, shown)
        code, shown = await ask(cluster, "POST", "?advance=600")
        assert (code, shown["now"]) == (200, "2030-01-01T00:10:00Z")
        _, shown = await ask(cluster, "POST", "?advance=86400&within=0")
        assert (shown["now"], shown["left"]) == ("2030-01-01T00:10:00Z", 86400.0)
        while shown["left"]:
            _, shown = await ask(cluster, "POST", f"?advance={shown['left']}&within=0.01")
        assert shown["now"] == "2030-01-02T00:10:00Z"
        _, refused = await ask(cluster, "POST", "?advance=1e300")
        assert "are beyond the year 9999" in refused["message"]
        for query in ("?advance=-1", "?advance=inf", "?advance=nan", "?rate=fast", "?rate=1e9", "?back=1"):
            code, _ = await ask(cluster, "POST", query)
            assert code == 400, query
        assert (await ask(cluster, "POST", "?rate=2"))[1]["rate"] == 2.0
    async with cluster_of(attrs.evolve(time, rate=1.0), tmp_path) as cluster:
        _, shown = await ask(cluster, "GET")
        assert shown["now"] >= "2030-01-02T00:10:00Z" and shown["rate"] == 2.0


async def test_a_cluster_by_the_machines_time_cannot_be_moved(tmp_path: Path) -> None:
    async with cluster_of(TimeConfig(), tmp_path) as cluster:
        assert (await ask(cluster, "GET"))[1]["clock"] == "system"
        code, refused = await ask(cluster, "POST", "?advance=1")
        assert code == 400 and "kybern up --clock virtual" in refused["message"]
