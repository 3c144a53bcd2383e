"""The snapshot file: the newest state of a store, the same for every store.

A line that says what it is, a header and one record per entry, each msgpack behind its length,
then a SHA-256 of all before it. It is written beside its final name and renamed, so that a file
with that name is always whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from kybern.store.interface import Entry, StoreError

__all__ = ["Snapshot", "read_snapshot", "write_snapshot"]

MAGIC = b"kybern snapshot\n"
VERSION = 1
DIGEST_SIZE = 32
CHUNK = 1 << 20


class _Header(msgspec.Struct):
    version: int
    revision: int
    entries: int


class Snapshot(msgspec.Struct):
    """What a snapshot file holds."""

    revision: int
    entries: list[Entry]


def write_snapshot(file: Path, revision: int, entries: Sequence[Entry]) -> None:
    """Write the file; when this returns it is durable, when it raises nothing has changed."""
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
            temporary = out.name
            _write(out, revision, entries)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
        _sync_folder(file.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"the snapshot {file} could not be written: {error.strerror or error}") from error


def _write(out: Any, revision: int, entries: Sequence[Entry]) -> None:
    digest = hashlib.sha256()
    buffer = bytearray(MAGIC)
    for record in _records(revision, entries):
        buffer += len(record).to_bytes(4, "big") + record
        if len(buffer) > CHUNK:
            digest.update(buffer)
            out.write(buffer)
            buffer.clear()
    digest.update(buffer)
    out.write(buffer + digest.digest())


def _records(revision: int, entries: Sequence[Entry]) -> Iterator[bytes]:
    encode = msgspec.msgpack.Encoder().encode
    yield encode(_Header(VERSION, revision, len(entries)))
    for entry in entries:
        yield encode(entry)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_snapshot(file: Path) -> Snapshot:
    """Read and check the whole file. Raises StoreError: missing, not a snapshot, newer, damaged."""
    try:
        with file.open("rb") as source:
            if source.read(len(MAGIC)) != MAGIC:
                raise StoreError(f"{file} is not a kybern snapshot")
            _check(source, file)
            source.seek(len(MAGIC))
            return _read(source, file)
    except OSError as error:
        raise StoreError(f"the snapshot {file} could not be read: {error.strerror or error}") from error


def _check(source: BinaryIO, file: Path) -> None:
    """Compare the checksum, before anything in the file is believed."""
    size = source.seek(0, os.SEEK_END) - DIGEST_SIZE
    digest = hashlib.sha256()
    source.seek(0)
    while size > 0 and (chunk := source.read(min(CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
    if size or source.read() != digest.digest():
        raise StoreError(f"the snapshot {file} is damaged: its checksum does not fit")


def _read(source: BinaryIO, file: Path) -> Snapshot:
    version = msgspec.msgpack.decode(_peek(source)).get("version")
    if version != VERSION:
        raise StoreError(f"the snapshot {file} has format {version}; this kybern reads format {VERSION}: upgrade it")
    header = msgspec.msgpack.decode(_record(source), type=_Header)
    decode = msgspec.msgpack.Decoder(Entry).decode
    return Snapshot(header.revision, [decode(_record(source)) for _ in range(header.entries)])


def _record(source: BinaryIO) -> bytes:
    return source.read(int.from_bytes(source.read(4), "big"))


def _peek(source: BinaryIO) -> bytes:
    at = source.tell()
    record = _record(source)
    source.seek(at)
    return record
