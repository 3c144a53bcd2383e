"""The built-in stores, as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.store.interface import Store


@hookimpl
def kybern_store() -> dict[str, type[Store]]:
    """`sqlite`: one durable file; `memory`: gone with the process."""
    from kybern.store.memory import MemoryStore
    from kybern.store.sqlite import SqliteStore

    return {"sqlite": SqliteStore, "memory": MemoryStore}
