"""`kybern snapshot save|restore FILE`: a cluster's objects in one file."""

from __future__ import annotations

import argparse
import asyncio
import urllib.parse
from pathlib import Path

import msgspec

from kybern.cli import clusters
from kybern.cli.errors import CommandError
from kybern.cluster.state import State

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Save from a running or stopped cluster; restore into a stopped one."""
    state, file = clusters.chosen(args.name), Path(args.file).absolute()
    state.read()
    if args.action == "save":
        revision = _save_running(state, file) if state.pid() is not None else _offline(state, file, restore=False)
        print(f"Saved revision {revision} to {file}.")
    else:
        if state.pid() is not None:
            raise CommandError(
                f"cluster {state.root.name!r} is running; stop it first: kybern down --name {state.root.name}"
            )
        print(f"Restored revision {_offline(state, file, restore=True)} from {file}.")
    return 0


def _save_running(state: State, file: Path) -> int:
    query = urllib.parse.urlencode({"file": str(file)})
    answer = clusters.get(state, state.read(), f"/kybern/snapshot?{query}", method="POST", timeout=600)
    revision: int = msgspec.json.decode(answer)["revision"]
    return revision


def _offline(state: State, file: Path, *, restore: bool) -> int:
    from kybern.cluster import stores
    from kybern.store.interface import StoreError

    async def work() -> int:
        store = stores.of_record(state)
        if restore:
            return await store.restore(file)
        await store.start()
        try:
            return await store.save(file)
        finally:
            await store.close()

    state.lock()
    try:
        return asyncio.run(work())
    except (StoreError, OSError) as e:
        raise CommandError(str(e)) from e
    finally:
        state.unlock()
