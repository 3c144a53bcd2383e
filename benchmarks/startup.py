"""Cold start, idle memory, and the command line's own start."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.server import Server
from benchmarks.table import Row, limit

RUNS = 5


def measure() -> Iterator[Row]:
    starts = []
    with Server(nodes={"count": 1}):
        pass  # compiles what has changed since the last time
    for _ in range(RUNS - 1):
        with Server(nodes={"count": 1}) as server:
            starts.append(server.started_in)
    with Server(nodes={"count": 1}) as server:
        starts.append(server.started_in)
        time.sleep(10)
        memory = server.memory()
    start = sorted(starts)[RUNS // 2]
    yield Row("cold start to /readyz", "3.2 s", "<= 0.8 s", f"{start:.2f} s", limit(start, at_most=0.8))
    yield Row(
        "idle RSS, whole control plane", "about 500 MB", "<= 100 MB", f"{memory:.0f} MB", limit(memory, at_most=100)
    )
    helped = sorted(_help() for _ in range(RUNS))[RUNS // 2] * 1000
    yield Row("kybern CLI, help", "kubectl 60 ms", "<= 150 ms", f"{helped:.0f} ms", limit(helped, at_most=150))


def _help() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "kybern.cli.main", "--help"], check=True, capture_output=True)
    return time.perf_counter() - began
