"""The directory of a cluster: what is in it, who runs it.

`$KYBERN_HOME/<name>` (default `~/.kybern/<name>`): `cluster.json` (what it is), `pki/`, `store/`,
`nodes/`, `kubeconfig`, `lock` (held while a process runs it, with its pid) and `kybern.log`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

__all__ = ["VERSION", "Record", "State", "StateError", "home"]

VERSION = 1
"""Version of the layout; a directory of a newer one is refused."""


class StateError(Exception):
    """The directory cannot be used; the text says why and what to do."""


class Record(msgspec.Struct, kw_only=True):
    """`cluster.json`: what a later start, and other commands, must know."""

    version: int = VERSION
    name: str
    url: str = ""
    port: int = 0
    config: dict[str, Any] = {}
    """The settings it was created with, as plain data; a later `up` resumes them."""


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where clusters live."""
    return Path(environ.get("KYBERN_HOME") or Path.home() / ".kybern")


@attrs.define
class State:
    """One cluster's directory."""

    root: Path
    _lock: int = attrs.field(default=-1, init=False)

    @classmethod
    def of(cls, name: str) -> State:
        """The directory of a cluster of that name."""
        return cls(home() / name)

    @classmethod
    def all(cls) -> list[State]:
        """The directories of all clusters there are."""
        return [cls(p.parent) for p in sorted(home().glob("*/cluster.json"))]

    @property
    def record_file(self) -> Path:
        return self.root / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def clock(self) -> Path:
        """Where a virtual clock's time is kept."""
        return self.root / "clock.json"

    @property
    def log(self) -> Path:
        return self.root / "kybern.log"

    @property
    def exists(self) -> bool:
        """Whether a cluster was created here; StateError when this user may not know."""
        try:
            return self.record_file.exists()
        except OSError as e:
            raise StateError(self._not_readable(e)) from e

    def _not_readable(self, e: OSError) -> str:
        return f"{self.root} cannot be read: {e.strerror or e}; is it another user's? Choose another KYBERN_HOME"

    def read(self) -> Record:
        """The record; StateError when there is none, it is of a newer version, or not ours."""
        try:
            record = msgspec.json.decode(self.record_file.read_bytes(), type=Record)
        except FileNotFoundError:
            raise StateError(
                f"there is no cluster {self.root.name!r}; create it with: kybern up --name {self.root.name}"
            ) from None
        except OSError as e:
            raise StateError(self._not_readable(e)) from e
        except msgspec.MsgspecError as e:
            raise StateError(f"{self.record_file} is not a cluster record of kybern: {e}") from e
        if record.version > VERSION:
            raise StateError(
                f"{self.root} was written by a newer kybern (state version {record.version}, not {VERSION}); "
                "upgrade kybern, or delete the cluster with that version"
            )
        return record

    def write(self, record: Record) -> None:
        """Keep the record, in one step; StateError when there is no room for it."""
        self.create()
        temporary = self.record_file.with_suffix(".new")
        content = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
        try:
            if self.exists and self.record_file.read_bytes() == content:
                return
            temporary.write_bytes(content)
            temporary.replace(self.record_file)
        except OSError as e:
            raise StateError(f"{self.record_file} cannot be written: {e.strerror or e}") from e

    def create(self) -> None:
        """Make the directory, readable by its owner only; StateError when it cannot be, or holds other things."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            foreign = not self.exists and any(p.name not in ("lock", "kybern.log", "pki") for p in self.root.iterdir())
        except OSError as e:
            raise StateError(f"{self.root} cannot be used as a cluster directory: {e.strerror or e}") from e
        if foreign:
            raise StateError(
                f"{self.root} is not empty and not a cluster of kybern; choose another name or move it away"
            )

    def discard(self) -> None:
        """Take back what `create`, `lock` and the log left in a directory that never became a cluster's."""
        if self.pid() is not None:  # another process that begins just now
            return
        with contextlib.suppress(OSError):
            leftovers = list(self.root.iterdir())
            if all(p.name in ("lock", "kybern.log") for p in leftovers):
                for leftover in leftovers:
                    leftover.unlink()
                self.root.rmdir()

    def lock(self) -> None:
        """Claim the directory for this process until it ends; StateError when another one runs it."""
        self.create()
        try:
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StateError(f"{self.root / 'lock'} cannot be opened: {e.strerror or e}") from e
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StateError(f"cluster {self.root.name!r} is running already (process {self.pid()})") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        self._lock = descriptor

    def unlock(self) -> None:
        """Let go of the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def pid(self) -> int | None:
        """The process that runs the cluster; None when none does."""
        try:
            descriptor = os.open(self.root / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(os.read(descriptor, 32) or 0) or None
        finally:
            os.close(descriptor)
        return None
