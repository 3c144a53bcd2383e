"""`kybern down`: stop a cluster's process; its state stays."""

from __future__ import annotations

import argparse
import os
import signal
import time

from kybern.cli import clusters
from kybern.cli.errors import CommandError
from kybern.cluster.state import State

__all__ = ["run", "stop"]

_PATIENCE = 20.0


def run(args: argparse.Namespace) -> int:
    """Stop the cluster; no error when it is not running."""
    state = clusters.chosen(args.name)
    name = state.read().name
    print(f"Cluster {name!r} is stopped." if stop(state) else f"Cluster {name!r} is not running.")
    return 0


def stop(state: State) -> bool:
    """Ask the process to end and wait until it has let go of the directory; tells whether there was one."""
    pid = state.pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    # A command line tool has no injected clock: it waits for another process, in real time.
    end = time.monotonic() + _PATIENCE  # noqa: TID251
    while state.pid() == pid:
        if time.monotonic() > end:  # noqa: TID251
            raise CommandError(f"process {pid} did not stop within {_PATIENCE:.0f} seconds; see: {state.log}")
        time.sleep(0.02)  # noqa: TID251
    return True
