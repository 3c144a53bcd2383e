"""`kybern status`: what clusters there are and how they do."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import msgspec

from kybern.cli import clusters
from kybern.cli.errors import CommandError
from kybern.cluster.state import State, StateError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """One paragraph per cluster; exit code 1 when the one named is not running."""
    states = [State.of(args.name)] if args.name else State.all()
    if not states:
        print("There is no cluster. Create one with: kybern up")
        return 0
    running = [_show(state) if args.name else _show_any(state) for state in states]
    return 0 if all(running) or not args.name else 1


def _show_any(state: State) -> bool:
    """One of all: what is wrong with it hides no other."""
    try:
        return _show(state)
    except StateError as e:
        print(f"{state.root.name}: {e}")
        return False


def _show(state: State) -> bool:
    record = state.read()
    pid = state.pid()
    if pid is None:
        print(f"{record.name}: stopped (state in {state.root})")
        return False
    print(f"{record.name}: running at {record.url} (process {pid}, {_memory(pid)}, state in {state.root})")
    try:
        print(f"  ready: {clusters.get(state, record, '/readyz', timeout=5).decode()}")
        print(f"  nodes: {_nodes(state)}")
        print(f"  pods:  {_pods(state)}")
    except CommandError as e:
        print(f"  {e}")
    return True


def _items(state: State, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = msgspec.json.decode(clusters.get(state, state.read(), path))["items"]
    return items


def _nodes(state: State) -> str:
    nodes = _items(state, "/api/v1/nodes")
    ready = sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in n["status"].get("conditions", ())) for n in nodes
    )
    return f"{ready} of {len(nodes)} ready"


def _pods(state: State) -> str:
    phases = Counter(p["status"].get("phase", "Unknown") for p in _items(state, "/api/v1/pods"))
    return ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items())) or "none"


def _memory(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/status") as status:
            kilobytes = next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), 0)
    except OSError:
        return "memory unknown"
    return f"{kilobytes / 1024:.0f} MB"
