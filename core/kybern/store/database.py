"""The sqlite file: its layout, opening it safely, and what its errors mean to a person.

One append-only table `log`, a row per change, numbered by revision and place within the commit, so
that a commit touches the end of one B-tree and nothing else. `previous` is the revision of the
row that a row supersedes: that gives watches the value before, and compaction what to delete,
without an index on keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from kybern.store.index import MAX_OPS
from kybern.store.interface import StoreError
from kybern.store.snapshot import Snapshot

__all__ = [
    "Lock",
    "Row",
    "connect",
    "create",
    "error_code",
    "explain",
    "get_meta",
    "make_durable",
    "replace_file",
    "row_id",
    "set_meta",
    "translated",
]

APPLICATION_ID = 0x4B594252
"""`KYBR`, in the header of every file of ours."""
VERSION = 1

Row = tuple[int, str, bytes | None, int, int | None]
"""A line of the log: id, key, value (None: deleted), revision of the create, revision it supersedes."""

LAYOUT = f"""
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB,
    created INTEGER NOT NULL,
    previous INTEGER
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""


def row_id(revision: int, place: int = 0) -> int:
    """The number of a commit's change in the log; those of one revision follow each other."""
    return revision * MAX_OPS + place


def connect(file: Path) -> sqlite3.Connection:
    """A connection that any one thread at a time may use, with explicit transactions. Changes nothing."""
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=5.0, cached_statements=512)
    # sqlite would rather index the whole log for one query than follow `previous` by row number
    db.execute("PRAGMA automatic_index = OFF")
    return db


def make_durable(db: sqlite3.Connection, *, at_once: bool = True) -> None:
    """A commit returns when the disk has it, or else soon has it: then only a power cut can lose the last ones.
    Readers and the writer do not wait for each other."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if at_once else 'NORMAL'}")


def create(db: sqlite3.Connection, file: Path) -> bool:
    """Make the layout in a new file, or check that an old one is ours. Returns whether it is new."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables and not application:
        db.executescript("BEGIN IMMEDIATE;" + LAYOUT + "COMMIT;")
        return True
    if application != APPLICATION_ID:
        raise StoreError(f"{file} is a database of another program; kybern leaves it alone, use another directory")
    if version > VERSION:
        raise StoreError(
            f"{file} was written by a newer kybern (state version {version}, this one knows {VERSION}). "
            "Use that version, or another directory."
        )
    return False


def get_meta(db: sqlite3.Connection, name: str, default: int) -> int:
    """A number kept beside the log."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return default if row is None else int(row[0])


def set_meta(db: sqlite3.Connection, name: str, value: int) -> None:
    """Keep a number beside the log."""
    db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value))


def error_code(error: BaseException | None) -> int:
    """sqlite's primary result code of an error; 0: it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def explain(error: sqlite3.Error | OSError, file: Path) -> str:
    """What went wrong, and what to do about it."""
    code = error_code(error)
    if code == sqlite3.SQLITE_FULL:
        return f"no space is left for {file}: make room on its disk; nothing acknowledged is lost"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{file} is not a kybern database or is damaged ({error}): restore a snapshot, or use another directory"
    if code == sqlite3.SQLITE_BUSY:
        return f"{file} is in use by another program"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return f"{file} cannot be opened for writing ({error}): check the permissions of its folder"
    return f"{file}: {error}"


@contextlib.contextmanager
def translated(file: Path) -> Iterator[None]:
    """Turn the errors of sqlite and of the file system into StoreErrors that explain themselves."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(explain(error, file)) from error


class Lock:
    """Keeps a second process away from the state: a lock that ends with the process that holds it."""

    def __init__(self, file: Path) -> None:
        self._path = file.with_name(file.name + ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or say who has it."""
        file = open(self._path, "a+", encoding="ascii")  # noqa: SIM115 - stays open as long as the lock is held
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            by = f"process {holder}" if holder else "another process"
            raise StoreError(f"the state in {self._path.parent} is in use by {by}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def replace_file(file: Path, lock: Lock, snapshot: Snapshot) -> None:
    """Put a database with the snapshot's content in the place of the file, whole or not at all."""
    with translated(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
        try:
            revision = max(snapshot.revision, _retire(file))
            fresh = file.with_name(file.name + ".restored")
            fresh.unlink(missing_ok=True)
            _fill(fresh, snapshot, revision)
            os.replace(fresh, file)
        finally:
            lock.release()


def _retire(file: Path) -> int:
    """Make the old file one whose write-ahead log may go, and tell its newest revision (0: unknown)."""
    if not file.exists():
        return 0
    db = connect(file)
    try:
        create(db, file)
        (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()
        revision = max(int(newest) // MAX_OPS, get_meta(db, "oldest", 1))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        if error_code(error) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        revision = 0
    finally:
        db.close()
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    return revision


def _fill(file: Path, snapshot: Snapshot, revision: int) -> None:
    db = connect(file)
    try:
        create(db, file)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, NULL)", _rows(snapshot))
        set_meta(db, "oldest", revision)
        set_meta(db, "swept", row_id(revision + 1))
        db.execute("COMMIT")
    finally:
        db.close()


def _rows(snapshot: Snapshot) -> Iterator[tuple[int, str, bytes, int]]:
    places: dict[int, int] = {}
    for entry in snapshot.entries:
        place = places.get(entry.revision, 0)
        places[entry.revision] = place + 1
        yield row_id(entry.revision, place), entry.key, entry.value, entry.created
