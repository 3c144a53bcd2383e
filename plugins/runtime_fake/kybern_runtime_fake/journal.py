"""What runs on the fake nodes of one process, kept in one append-only file.

Every record that changed is written whole as a line; the last line about an id counts. Lines are
collected for one turn of the event loop and written with one call, before any answer about them
can leave the process. The file is rewritten when most of it is history.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar

import msgspec

from kybern.node.runtime import ContainerResources
from kybern_runtime_fake.script import Script

__all__ = ["ContainerRecord", "ImageRecord", "Journal", "Removed", "SandboxRecord", "is_running"]

log = logging.getLogger(__name__)

_NAME = "fake-runtime.jsonl"
_HISTORY = 50_000
_CHUNK = 500


class SandboxRecord(msgspec.Struct, tag="sandbox", omit_defaults=True):
    """A pod sandbox."""

    id: str
    node: str
    name: str
    namespace: str
    uid: str
    attempt: int
    created_at: float
    ready: bool = True
    ips: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    runtime_handler: str = ""
    hostname: str = ""


class ContainerRecord(msgspec.Struct, tag="container", omit_defaults=True):
    """A container. `exit_at` may lie in the future: it is when the container will end as things stand."""

    id: str
    node: str
    sandbox_id: str
    name: str
    attempt: int
    created_at: float
    image: str
    image_ref: str
    user_image: str = ""
    """The image as the pod names it, which rules match."""
    started_at: float = 0.0
    exit_at: float | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished: bool = False
    script: Script | None = None
    behaviour: dict[str, str | float | int] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    log_path: str = ""
    resources: ContainerResources | None = None


def is_running(record: ContainerRecord, now: float) -> bool:
    """Whether a container runs at a time."""
    ended = record.finished or (record.exit_at is not None and now >= record.exit_at - 1e-6)
    return bool(record.started_at) and not ended


class ImageRecord(msgspec.Struct, tag="image", omit_defaults=True):
    """An image that was pulled."""

    id: str
    node: str
    reference: str


class Removed(msgspec.Struct, tag="removed"):
    """A record is gone."""

    id: str


Record = SandboxRecord | ContainerRecord | ImageRecord
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(SandboxRecord | ContainerRecord | ImageRecord | Removed)


class Journal:
    """One per directory and process, shared by its nodes' drivers."""

    _open: ClassVar[dict[Path, Journal]] = {}

    @classmethod
    def of(cls, directory: Path, keep: bool) -> Journal:
        """The journal of a directory; `release` it when done."""
        journal = cls._open.get(directory)
        if journal is None:
            journal = cls._open[directory] = cls(directory, keep)
        journal._users += 1
        return journal

    def __init__(self, directory: Path, keep: bool) -> None:
        self._path = directory / _NAME
        self._directory = directory
        self._users = 0
        self._records: dict[str, Record] = {}
        self._by_node: dict[str, list[Record]] = {}
        self._taken: set[str] = set()
        self._lines: list[bytes] = []
        self._flushing = False
        self._compacting: asyncio.Task[None] | None = None
        self._tail: list[bytes] | None = None
        self._written = 0
        self._torn = False
        """A write failed half-way: lines are missing in the file."""
        self._file = -1
        self.changes = 0
        """Counts what was put and dropped."""
        self.counted: tuple[float, int] = (0.0, -1)
        self.peers: Counter[tuple[object, ...]] = Counter()
        """How many pods of each kind ran when `counted` (usage.py)."""
        if keep:
            self._load()
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def release(self) -> None:
        """One user less; the last one closes the file."""
        self._users -= 1
        if self._users:
            return
        self.flush()
        if self._compacting is not None:
            self._compacting.cancel()
        if self._torn:
            self._torn = not self._write(b"".join(_encode(record) + b"\n" for record in self._records.values()))
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        Journal._open.pop(self._directory, None)

    def take(self, node: str) -> Iterable[Record]:
        """The records of a node, as the file had them; once, at its start."""
        if node not in self._taken:
            self._taken.add(node)
            return self._by_node.pop(node, [])
        return [record for record in self._records.values() if record.node == node]

    @property
    def records(self) -> Collection[Record]:
        """All records, of all nodes."""
        return self._records.values()

    def put(self, record: Record) -> None:
        """A record is new or changed."""
        self.changes += 1
        self._records[record.id] = record
        if self._file >= 0:
            self._append(_encode(record))

    def drop(self, id: str) -> None:
        """A record is gone."""
        self.changes += 1
        if self._records.pop(id, None) is not None and self._file >= 0:
            self._append(_encode(Removed(id)))

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what was collected."""
        self._flushing = False
        lines, self._lines = self._lines, []
        if not lines or self._file < 0:
            return
        if self._tail is not None:
            self._tail += lines
        self._written += len(lines)
        whole = self._write(b"\n".join(lines) + b"\n")
        stale = self._written > 4 * len(self._records) + _HISTORY
        if (stale or self._torn) and whole and self._compacting is None:
            self._compacting = asyncio.get_running_loop().create_task(self._compact())

    def _write(self, data: bytes) -> bool:
        """Whether all of it is in the file. After a failure the file is rewritten as soon as it can be."""
        try:
            done = os.write(self._file, b"\n" + data if self._torn else data)
            if done >= len(data):
                return True
            why = "the disk is full"
        except OSError as error:
            why = str(error)
        if not self._torn:
            log.error("%s: what runs on the fake nodes is not being kept: %s", self._path, why)
        self._torn = True
        return False

    def _load(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in data.splitlines():
            try:
                record = _decoder.decode(line)
            except msgspec.MsgspecError:
                continue  # the end of a line that was being written when the process died
            self._written += 1
            if isinstance(record, Removed):
                self._records.pop(record.id, None)
            else:
                self._records[record.id] = record
        for record in self._records.values():
            self._by_node.setdefault(record.node, []).append(record)
        if data and not data.endswith(b"\n"):
            with self._path.open("ab") as file:
                file.write(b"\n")

    async def _compact(self) -> None:
        """Rewrite the file with the living records only, a slice per turn of the loop."""
        self._tail = []
        records = list(self._records.values())
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                for i in range(0, len(records), _CHUNK):
                    file.write(b"".join(_encode(r) + b"\n" for r in records[i : i + _CHUNK] if r.id in self._records))
                    await asyncio.sleep(0)  # noqa: TID251  # let others run between slices; no time is meant
                self.flush()
                file.write(b"".join(line + b"\n" for line in self._tail))
            fresh.replace(self._path)
            os.close(self._file)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            self._written = len(records)
            self._torn = False
        except OSError as error:
            log.error("%s: could not be rewritten: %s", self._path, error)
        finally:
            self._tail = None
            self._compacting = None
