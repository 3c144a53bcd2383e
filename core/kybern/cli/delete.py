"""`kybern delete`: stop a cluster and forget it."""

from __future__ import annotations

import argparse
import shutil

from kybern.cli import clusters, down
from kybern.cluster import kubeconfig

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Stop the process, delete the directory, take the context out of the user's kubeconfig."""
    state = clusters.chosen(args.name)
    name = state.read().name
    down.stop(state)
    shutil.rmtree(state.root)
    file = kubeconfig.user_file()
    removed = kubeconfig.remove(file, name)
    print(f"Cluster {name!r} is deleted" + (f", and its context in {file}." if removed else "."))
    return 0
