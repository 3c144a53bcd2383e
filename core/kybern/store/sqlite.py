"""The default store: one sqlite file, durable at every commit, the newest state in memory.

Commits that arrive while the disk is busy form the next batch: they are decided in order on the
event loop, one writer thread makes them durable with one fsync, and only then do they enter the
index, listeners and watches hear of them, and their callers learn that they hold. History lies in
the log and is read through a second connection, so that it never makes a writer wait.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import attrs

from kybern.clock import Clock
from kybern.store import database
from kybern.store.batch import Batch, Request
from kybern.store.database import Row, row_id
from kybern.store.index import MAX_OPS, Index, prefix_end
from kybern.store.interface import Change, Commit, Entry, Op, StoreError
from kybern.store.local import LocalStore
from kybern.store.snapshot import Snapshot
from kybern.store.writer import InlineWriter, Writer

__all__ = ["SqliteOptions", "SqliteStore"]

MAX_BATCH = 512
COMPACT_ROWS = 500
"""Log rows that one compaction step looks at; steps alternate with batches of commits."""

INSERT = "INSERT INTO log VALUES "
ROW = "(?, ?, ?, ?, ?)"
ROWS_AT_ONCE = 512
LOAD = "SELECT id, key, value, created FROM log ORDER BY id"
_SUPERSEDED = f"""
LEFT JOIN log AS old
ON old.id >= new.previous * {MAX_OPS} AND old.id < (new.previous + 1) * {MAX_OPS} AND old.key = new.key
"""
BEFORE = f"""
SELECT new.key, old.id, old.value, old.created
FROM (SELECT key, previous, min(id) FROM log WHERE id >= ? AND id < ? AND key >= ? AND key < ? GROUP BY key) AS new
{_SUPERSEDED}
"""
HISTORY = f"""
SELECT new.id, new.key, new.value, old.value FROM log AS new {_SUPERSEDED}
WHERE new.id >= ? AND new.id < ? AND new.key >= ? AND new.key < ? ORDER BY new.id LIMIT ?
"""
STEP = "SELECT id, key, previous, value IS NULL FROM log WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
DROP = "DELETE FROM log WHERE id >= ? AND id < ? AND key = ?"

T = TypeVar("T")
log = logging.getLogger(__name__)


@attrs.frozen
class SqliteOptions:
    """Settings of `[store.sqlite]`."""

    max_pages: int = 0
    """Upper bound of the file's size in pages of 4 kB; 0: as large as the disk allows."""
    checkpoint_pages: int = 2000
    """Pages in the write-ahead log after which sqlite folds it into the file."""


def _insert(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    db.execute(INSERT + ",".join([ROW] * len(rows)), list(chain.from_iterable(rows)))


class SqliteStore(LocalStore):
    """Keys, values and history in `state.db` below the store's folder."""

    Options = SqliteOptions

    def __init__(self, path: Path | None, clock: Clock, options: Any = None) -> None:
        super().__init__(path, clock, options)
        if path is None:
            raise StoreError("the sqlite store needs a folder to keep its file in")
        self._options: SqliteOptions = options or SqliteOptions()
        self._file = path / "state.db"
        self._lock = database.Lock(self._file)
        # A test cluster's virtual time stands still while it works: it does not see threads, nor wait for disks.
        self._waits_for_disk = clock.outside is clock
        self._queue: list[Request] = []
        self._busy = False
        self._closing = False
        self._broken: StoreError | None = None
        self._idle: asyncio.Future[None] | None = None
        self._db: sqlite3.Connection
        self._writer: Writer
        self._readers: ThreadPoolExecutor
        self._reader: sqlite3.Connection | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._open_file)
        self._writer = Writer() if self._waits_for_disk else InlineWriter()
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="kybern-store-reader")
        self._open = True

    def _open_file(self) -> None:
        with database.translated(self._file):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
            try:
                self._db = self._connect()
                self._index = self._load()
            except BaseException:
                self._lock.release()
                raise

    def _connect(self) -> sqlite3.Connection:
        db = database.connect(self._file)
        try:
            database.create(db, self._file)
            database.make_durable(db, at_once=self._waits_for_disk)
            db.execute(f"PRAGMA wal_autocheckpoint = {self._options.checkpoint_pages:d}")
            if self._options.max_pages:
                db.execute(f"PRAGMA max_page_count = {self._options.max_pages:d}")
        except BaseException:
            db.close()
            raise
        return db

    def _load(self) -> Index:
        """The newest state, from all of the log."""
        entries: dict[str, Entry] = {}
        last = 0
        for last, key, value, created in self._db.execute(LOAD):
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = Entry(key, value, last // MAX_OPS, created)
        oldest = database.get_meta(self._db, "oldest", 1)
        return Index(entries.values(), max(last // MAX_OPS, oldest), oldest)

    async def close(self) -> None:
        if not self._open or self._closing:
            return
        self._closing = True
        if self._busy or self._queue:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._open = False
        self._feeds.end()
        self._readers.shutdown(wait=True, cancel_futures=True)
        if self._reader is not None:
            self._reader.close()
        with suppress(StoreError):
            await self._writer.call(self._close_file)
        self._writer.stop()
        self._lock.release()

    def _close_file(self) -> None:
        with database.translated(self._file):
            self._db.close()

    async def commit(self, ops: Sequence[Op]) -> int:
        self._check_open()
        if self._closing:
            raise StoreError("the store is closing")
        if self._broken is not None:
            raise StoreError(str(self._broken)) from self._broken
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(Request(ops, done))
        if not self._busy and len(self._queue) == 1:
            # the next turn of the loop takes along what other requests commit in this one
            asyncio.get_running_loop().call_soon(self._next_batch)
        return await done

    def _next_batch(self) -> None:
        """Decide on what has queued up and hand it to the writer."""
        while self._queue and not self._busy:
            requests, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
            batch = Batch(self._index)
            for request in requests:
                batch.decide(request)
            if not batch.rows:
                batch.settle()
                continue
            self._submit(batch)
        if self._idle is not None and not self._busy and not self._idle.done():
            self._idle.set_result(None)

    def _submit(self, batch: Batch) -> None:
        self._busy = True
        self._writer.submit(lambda: self._write(batch.rows), lambda _, error: self._written(batch, error))

    def _write(self, rows: list[Row]) -> None:
        """Make rows durable. One statement is a transaction of its own: so a usual batch gives the interpreter
        back to the event loop once, not once per row."""
        if len(rows) <= ROWS_AT_ONCE:
            with database.translated(self._file):
                _insert(self._db, rows)
            return
        with self._transaction() as db:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                _insert(db, rows[start : start + ROWS_AT_ONCE])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        with database.translated(self._file):
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _written(self, batch: Batch, error: StoreError | None) -> None:
        """The disk has a batch, or has refused it."""
        self._busy = False
        if error is not None:
            self._refused(batch, error)
            return
        for revision, changes in batch.decided:
            self._index.apply(revision, changes)
        self._next_batch()
        self._publish(batch.decided)
        batch.settle()

    def _refused(self, batch: Batch, error: StoreError) -> None:
        """A full disk may get room again. After any other failure nobody knows what the disk holds: stop
        writing until a restart has read it back."""
        batch.fail(error)
        if database.error_code(error.__cause__) != sqlite3.SQLITE_FULL:
            log.error("the store stops accepting writes: %s", error)
            self._broken = error
            for request in self._queue:
                if not request.done.done():
                    request.done.set_exception(error)
            self._queue = []
        self._next_batch()

    async def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query in the reader's thread."""

        def run() -> T:
            with database.translated(self._file):
                if self._reader is None:
                    self._reader = database.connect(self._file)
                return job(self._reader)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def _before(self, prefix: str, start: str, revision: int, until: int) -> dict[str, Entry | None]:
        span = (row_id(revision + 1), row_id(until + 1), max(prefix, start), prefix_end(prefix))
        rows = await self._read(lambda db: db.execute(BEFORE, span).fetchall())
        return {
            key: None if old is None else Entry(key, value, old // MAX_OPS, created)
            for key, old, value, created in rows
        }

    async def _read_commits(self, prefix: str, after: int, until: int, limit: int) -> Sequence[Commit]:
        span = (row_id(after + 1), row_id(until + 1), prefix, prefix_end(prefix))
        rows = await self._read(lambda db: db.execute(HISTORY, (*span, limit + MAX_OPS)).fetchall())
        commits: list[Commit] = []
        changes: list[Change] = []
        for seen, (row, key, value, previous) in enumerate(rows):
            revision = row // MAX_OPS
            if not commits or commits[-1].revision != revision:
                if seen >= limit:
                    break
                changes = []
                commits.append(Commit(revision, changes))
            changes.append(Change(key, value, revision, previous))
        return commits

    async def compact(self, revision: int) -> None:
        self._check_known(revision)
        if revision == self._index.oldest:
            return
        await self._writer.call(lambda: self._set_oldest(revision))
        self._index.oldest = max(revision, self._index.oldest)
        while await self._writer.call(lambda: self._sweep(row_id(revision + 1))):
            pass

    def _set_oldest(self, revision: int) -> None:
        with self._transaction() as db:
            database.set_meta(db, "oldest", max(revision, database.get_meta(db, "oldest", 1)))

    def _sweep(self, until: int) -> bool:
        """Delete what some log rows have superseded. Returns whether there may be more to do."""
        with self._transaction() as db:
            rows = db.execute(STEP, (database.get_meta(db, "swept", 0), until, COMPACT_ROWS)).fetchall()
            if rows:
                dropped = [(row_id(old), row_id(old + 1), key) for _, key, old, _ in rows if old is not None]
                dropped += [(row, row + 1, key) for row, key, _, deleted in rows if deleted]
                db.executemany(DROP, dropped)
                database.set_meta(db, "swept", rows[-1][0] + 1)
        return len(rows) == COMPACT_ROWS

    async def _replace(self, snapshot: Snapshot) -> None:
        await asyncio.to_thread(database.replace_file, self._file, self._lock, snapshot)
