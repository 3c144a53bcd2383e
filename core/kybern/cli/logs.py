"""`kybern logs`: what a cluster's process wrote."""

from __future__ import annotations

import argparse
import time
from collections import deque

from kybern.cli import clusters
from kybern.cli.errors import CommandError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """The last lines, and with --follow what comes."""
    state = clusters.chosen(args.name)
    state.read()
    try:
        log = state.log.open(errors="replace")
    except FileNotFoundError:
        raise CommandError(f"cluster {state.root.name!r} has written no log yet") from None
    with log:
        for line in deque(log, maxlen=max(args.tail, 0)):
            print(line, end="")
        while args.follow:
            if line := log.readline():
                print(line, end="", flush=True)
            else:
                time.sleep(0.2)  # noqa: TID251  # a command line tool polling a file, in real time
    return 0
