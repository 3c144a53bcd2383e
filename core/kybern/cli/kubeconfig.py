"""`kybern kubeconfig`: print a cluster's kubeconfig."""

from __future__ import annotations

import argparse

from kybern.cli import clusters

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """To standard output, for `KUBECONFIG=<(kybern kubeconfig)` and files."""
    state = clusters.chosen(args.name)
    state.read()
    print(state.kubeconfig.read_text(), end="")
    return 0
