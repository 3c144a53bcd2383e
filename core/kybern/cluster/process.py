"""The process that runs a cluster until it is told to stop (SIGTERM, SIGINT)."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kybern.cluster import kubeconfig
from kybern.cluster.cluster import Cluster
from kybern.cluster.state import Record, State, StateError
from kybern.config import Config, ConfigError
from kybern.plugins import PluginError
from kybern.store.interface import StoreError

__all__ = ["StartError", "serve"]


class StartError(Exception):
    """The cluster did not start; the text is for the user."""


def serve(
    state: State,
    config: Config,
    plain: dict[str, Any],
    progress: Callable[[str], None],
    ready: Callable[[Record], None],
) -> None:
    """Run the cluster of `state` until a signal. `plain` is the configuration as data, kept for later starts.

    Raises StartError for everything a user can mend.
    """
    gc.disable()  # a start only makes what stays; _calm_the_collector turns it on again
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        state.lock()
        _run(_serve(state, config, plain, progress, ready), virtual=config.time.clock == "virtual")
    except (StateError, ConfigError, PluginError, StoreError) as e:
        raise StartError(str(e)) from e
    except OSError as e:
        raise StartError(f"{e.filename or state.root}: {e.strerror or e}") from e
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        state.unlock()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The user's error inside a task group's, or the group."""
    mendable, _ = group.split((StateError, ConfigError, PluginError, StoreError))
    while mendable is not None:
        inner = mendable.exceptions[0]
        if not isinstance(inner, BaseExceptionGroup):
            return StartError(str(inner))
        mendable = inner
    return group


def _run(main: Any, *, virtual: bool) -> None:
    """`virtual`: time must not go on before all work is done, and uvloop does not tell when that is."""
    run: Callable[[Any], None] = asyncio.run
    if not virtual:
        with suppress(ImportError):  # not on every platform: asyncio's own loop does as well, a little slower
            from uvloop import run
    run(main)


async def _serve(
    state: State,
    config: Config,
    plain: dict[str, Any],
    progress: Callable[[str], None],
    ready: Callable[[Record], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cluster = Cluster(config, state=state, progress=progress)
    _claim(state, config, plain)
    await cluster.start()
    try:
        record = Record(name=config.name, url=cluster.url, port=int(cluster.url.rsplit(":", 1)[1]), config=plain)
        state.write(record)
        admin = cluster.pki.admin
        access = kubeconfig.content(config.name, cluster.url, cluster.pki.ca_certificate, admin.certificate, admin.key)
        if not kubeconfig.holds(state.kubeconfig, access):
            kubeconfig.write(state.kubeconfig, access)
        _calm_the_collector()
        ready(record)
        either = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(cluster.ended())]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await cluster.ended()
    finally:
        await cluster.stop()


def _claim(state: State, config: Config, plain: dict[str, Any]) -> None:
    """Make the directory this cluster's before anything is put into it; StateError when it is of a newer version."""
    if state.exists:
        state.read()
    else:
        state.write(Record(name=config.name, config=plain))


def _calm_the_collector() -> None:
    """From here on collect, but not what start-up made: that lives as long as the process."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)
