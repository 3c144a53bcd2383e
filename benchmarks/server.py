"""A Kybern process to measure: started by its command, reached by its HTTPS port alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.wire import Address, ask

__all__ = ["Server"]

NAME = "bench"


class Server:
    """A cluster in a directory of its own; a context manager that ends the process and removes the directory.

    `settings` become a kybern.toml: `{"nodes": {"count": 100}}`. `home` of an earlier server: take over its state.
    """

    def __init__(self, home: Path | None = None, **settings: dict[str, Any]) -> None:
        self._made = home is None
        self.home = home or Path(tempfile.mkdtemp(prefix="kybern-bench-"))
        self.started_in = 0.0
        """Seconds from the start of the command to the first good answer of /readyz."""
        self._settings = {"name": NAME, "nodes": {"count": 0}, **settings, "api": {"port": _free_port()}}
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Server:
        config = self.home / "kybern.toml"
        config.write_text(_toml(self._settings))
        log = (self.home / "log").open("ab")
        command = [
            sys.executable,
            "-m",
            "kybern.cli.main",
            "up",
            "--foreground",
            "--no-kubeconfig",
            "--config",
            str(config),
        ]
        environment = _installed(os.environ) | {"KYBERN_HOME": str(self.home)}
        began = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        log.close()
        try:
            self._wait_ready(began + 60)
        except BaseException:
            self.__exit__()
            raise
        self.started_in = time.perf_counter() - began
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._made:
            shutil.rmtree(self.home, ignore_errors=True)

    def stop(self) -> None:
        """Stop the process in order, or by force after a while."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait_ready(self, until: float) -> None:
        while time.perf_counter() < until:
            if self._process.poll() is not None:
                break
            try:
                if (self.pki / "admin.key").exists() and ask(self.address, "GET", "/readyz")[0] == 200:
                    return
            except (OSError, ssl.SSLError):
                pass
            time.sleep(0.01)
        raise RuntimeError(f"the server is not ready: {(self.home / 'log').read_text()[-2000:]}")

    @property
    def pki(self) -> Path:
        """Where the cluster keeps its certificates."""
        return self.home / NAME / "pki"

    @property
    def address(self) -> Address:
        """How clients reach it, as the cluster's administrator."""
        return Address("127.0.0.1", self._settings["api"]["port"], self.pki)

    @property
    def pid(self) -> int:
        """The process, for profilers."""
        return self._process.pid

    def cpu(self) -> float:
        """Processor seconds used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident memory in MB."""
        return _status(self._process.pid, "VmRSS") / 1024

    def peak_memory(self) -> float:
        """The most resident memory so far, in MB."""
        return _status(self._process.pid, "VmHWM") / 1024


def _installed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with compiled modules kept from one start to the next, as an installed package has them: a
    checkout whose user has told Python not to write any would compile them all at each start."""
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    kept["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"kybern-bench-bytecode-{os.getuid()}")
    return kept


def _toml(settings: dict[str, Any]) -> str:
    """Settings of one level of tables; JSON's scalars are TOML's."""
    plain = [f"{k} = {json.dumps(v)}" for k, v in settings.items() if not isinstance(v, dict)]
    for table, content in settings.items():
        if isinstance(content, dict):
            plain += [f"[{table}]", *(f"{k} = {json.dumps(v)}" for k, v in content.items())]
    return "\n".join(plain) + "\n"


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no {field}")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
