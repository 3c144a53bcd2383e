"""The sqlite store keeps the contract, and says clearly why it cannot open a file or write to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kybern.clock import Clock, SystemClock
from kybern.store import sqlite
from kybern.store.interface import Op, Store, StoreError
from kybern.store.sqlite import SqliteOptions, SqliteStore
from kybern.testing.store import StoreContract

pytestmark = pytest.mark.anyio


class TestSqliteStore(StoreContract):
    async def make(self, path: Path, clock: Clock) -> Store:
        return SqliteStore(path, clock)


async def opened(path: Path, options: SqliteOptions | None = None) -> SqliteStore:
    store = SqliteStore(path, SystemClock(), options)
    await store.start()
    return store


async def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as error:
        await opened(path)
    return str(error.value)


async def test_the_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE music (title TEXT)")
    db.close()
    before = file.read_bytes()
    assert "is a database of another program" in await refusal(tmp_path)
    assert file.read_bytes() == before


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(b"my diary, " * 1000)
    assert "is not a kybern database" in await refusal(tmp_path)
    assert file.read_bytes() == b"my diary, " * 1000


async def test_state_of_a_newer_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    await (await opened(tmp_path)).close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    message = await refusal(tmp_path)
    assert "newer kybern" in message and "state version 7" in message and "knows 1" in message


async def test_a_second_opener_hears_who_has_the_state(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    assert f"in use by process {os.getpid()}" in await refusal(tmp_path)
    await store.commit([Op("/a", b"1")])
    await store.close()
    await (await opened(tmp_path)).close()


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def test_another_process_is_kept_away(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    program = (
        "import asyncio, sys; from pathlib import Path; from kybern.clock import SystemClock;"
        "from kybern.store.sqlite import SqliteStore;"
        "asyncio.run(SqliteStore(Path(sys.argv[1]), SystemClock()).start())"
    )
    other = await asyncio.to_thread(run, [sys.executable, "-c", program, str(tmp_path)])
    assert other.returncode != 0 and f"in use by process {os.getpid()}" in other.stderr
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o500)
    assert str(tmp_path) in await refusal(tmp_path)


async def test_a_path_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in await refusal(tmp_path / "file" / "deeper")


async def test_a_full_disk_fails_clearly_and_loses_nothing(tmp_path: Path) -> None:
    """The size limit of sqlite itself stands for the disk: it fails at the same place with the same code."""
    store = await opened(tmp_path, SqliteOptions(max_pages=40))
    acknowledged: list[str] = []

    async def fill() -> None:
        for i in range(1000):
            await store.commit([Op(f"/a/{i:04}", b"x" * 2000)])
            acknowledged.append(f"/a/{i:04}")

    with pytest.raises(StoreError, match="no space is left"):
        await fill()
    revision = store.revision
    assert revision == len(acknowledged) + 1
    results = await asyncio.gather(
        *(store.commit([Op(f"/b/{i}", b"y" * 9000)]) for i in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, StoreError) for result in results)
    assert [e.key for e in (await store.range("/")).entries] == acknowledged and store.revision == revision
    await store.close()
    roomier = await opened(tmp_path)
    assert [e.key for e in (await roomier.range("/")).entries] == acknowledged
    assert await roomier.commit([Op("/c", b"fits")]) == revision + 1
    await roomier.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_really_full_disk_refuses_writes_until_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, b"x" * 500_000)
    store = await opened(small_disk / "store")
    acknowledged = 0

    async def fill() -> None:
        nonlocal acknowledged
        while True:
            await asyncio.gather(*(store.commit([Op(f"/a/{acknowledged + i:04}", b"x" * 5000)]) for i in range(5)))
            acknowledged += 5

    with pytest.raises(StoreError, match="no space is left"):
        await fill()
    keys = [f"/a/{i:04}" for i in range(acknowledged)]
    assert acknowledged and [e.key for e in (await store.range("/")).entries] == keys
    with pytest.raises(StoreError, match="could not be written"):
        await store.save(small_disk / "snapshot")
    await asyncio.to_thread(ballast.unlink)
    revision = await store.commit([Op("/b", b"there is room again")])
    await store.close()
    again = await opened(small_disk / "store")
    assert again.revision == revision and [e.key for e in (await again.range("/")).entries] == [*keys, "/b"]
    await again.close()


async def test_a_failed_batch_takes_back_the_answers_that_built_on_it(tmp_path: Path) -> None:
    store = await opened(tmp_path, SqliteOptions(max_pages=12))
    await store.commit([Op("/small", b"x")])
    creates = [asyncio.create_task(store.commit([Op("/big", b"x" * 100_000, 0)])) for _ in range(3)]
    results = await asyncio.gather(*creates, return_exceptions=True)
    assert [type(result) for result in results] == [StoreError] * 3
    assert await store.get("/big") is None
    await store.close()


async def test_a_broken_disk_stops_all_writes_until_a_restart(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([Op("/a", b"1")])
    store._db.close()
    for _ in range(2):
        with pytest.raises(StoreError):
            await store.commit([Op("/b", b"2")])
    assert await store.get("/b") is None and await store.get("/a") is not None
    await store.close()
    again = await opened(tmp_path)
    assert again.revision == 2
    await again.close()


async def test_compaction_gives_the_space_back_for_new_writes(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for round_ in range(6):
        for _ in range(20):
            await asyncio.gather(*(store.commit([Op(f"/k{i}", bytes([round_]) * 1000)]) for i in range(20)))
        await store.compact(store.revision)
        if round_ == 1:
            after_two = (await asyncio.to_thread(pages, tmp_path))[0]
    total, rows = await asyncio.to_thread(pages, tmp_path)
    assert rows == 20 and total <= after_two + 50
    await store.close()


def pages(path: Path) -> tuple[int, int]:
    db = sqlite3.connect(path / "state.db")
    counted = (db.execute("PRAGMA page_count").fetchone()[0], db.execute("SELECT count(*) FROM log").fetchone()[0])
    db.close()
    return counted


async def test_compaction_leaves_nothing_of_what_is_deleted(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for i in range(10):
        await store.commit([Op(f"/k{i}", b"1")])
        await store.commit([Op(f"/k{i}", b"2")])
        await store.commit([Op(f"/k{i}", None)])
    await store.commit([Op("/k3", b"again")])
    await store.compact(store.revision)
    assert pages(tmp_path)[1] == 1
    await store.close()


async def test_compaction_that_a_crash_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for i in range(30):
        await store.commit([Op("/a", b"%d" % i)])
    await store._writer.call(lambda: store._set_oldest(31))
    await store.close()
    store = await opened(tmp_path)
    assert (store.oldest, store.revision) == (31, 31)
    await store.commit([Op("/a", b"new")])
    await store.compact(32)
    assert pages(tmp_path)[1] == 1
    await store.close()


async def test_closing_finishes_what_was_accepted(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    writes = [asyncio.create_task(store.commit([Op(f"/k{i}", b"")])) for i in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert sorted(await asyncio.gather(*writes)) == list(range(2, 52))
    with pytest.raises(StoreError):
        await store.commit([Op("/late", b"")])
    again = await opened(tmp_path)
    assert again.revision == 51
    await again.close()


async def test_restoring_over_newer_state_uses_no_revision_twice(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([Op("/a", b"1")])
    await store.save(tmp_path / "snapshot")
    for i in range(10):
        await store.commit([Op("/a", b"later %d" % i)])
    with pytest.raises(StoreError, match="not open"):
        await store.restore(tmp_path / "snapshot")
    await store.close()
    again = SqliteStore(tmp_path, SystemClock())
    assert await again.restore(tmp_path / "snapshot") == 2
    await again.start()
    entry = await again.get("/a")
    assert entry is not None and entry.value == b"1"
    assert again.revision == again.oldest == 12
    assert await again.commit([Op("/a", b"2", entry.revision)]) == 13
    await again.close()


async def test_restore_does_not_touch_state_that_is_in_use(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.commit([Op("/a", b"1")])
    await store.save(tmp_path / "snapshot")
    with pytest.raises(StoreError, match="in use by process"):
        await SqliteStore(tmp_path, SystemClock()).restore(tmp_path / "snapshot")
    await store.close()


async def test_a_snapshot_moves_between_drivers(tmp_path: Path) -> None:
    from kybern.store.memory import MemoryStore

    store = await opened(tmp_path)
    await store.commit([Op("/a", b"1"), Op("/b", b"2")])
    await store.save(tmp_path / "snapshot")
    memory = MemoryStore(None, SystemClock())
    await memory.restore(tmp_path / "snapshot")
    await memory.start()
    assert (await memory.range("/")).entries == (await store.range("/")).entries
    await store.close()


async def test_a_snapshot_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    with pytest.raises(StoreError, match="could not be written"):
        await store.save(tmp_path / "missing" / "snapshot")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError):
        await store.save(tmp_path / "folder")
    assert [name for name in os.listdir(tmp_path) if "folder" in name] == ["folder"]
    await store.close()


async def test_history_is_found_by_its_place_in_the_log(tmp_path: Path) -> None:
    """Neither query may look at rows outside of the revisions asked for, however long the log is."""
    store = await opened(tmp_path)
    for query, arguments in ((sqlite.HISTORY, 5), (sqlite.BEFORE, 4)):
        plan = await store._read(
            lambda db, query=query, n=arguments: db.execute(f"EXPLAIN QUERY PLAN {query}", (1,) * n).fetchall()
        )
        tables = [step[3] for step in plan if " log " in step[3] or " old " in step[3]]
        assert tables and all("USING INTEGER PRIMARY KEY" in step for step in tables)
    await store.close()
