"""The engine runs controllers: workers take keys from a controller's queue and call `reconcile`.

One engine per process; every controller gets its own queue and workers, and shares the informers.
An exception in one reconcile is logged with its key and retried with back-off; it never reaches
another key or another controller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import anyio

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Context, Controller, Informer, Key, Result
from kybern.reconcile.metrics import ControllerMetrics, exposition
from kybern.reconcile.owners import controller_of
from kybern.reconcile.queue import QueueClosed, WorkQueue

K = TypeVar("K")

__all__ = ["Engine"]

log = logging.getLogger(__name__)

FREE_CONFLICTS = 3
"""Conflicts in a row that retry at once; from then on they back off like errors."""
RESTART_DELAY = 5.0


def _own_key(obj: Any) -> Iterable[Key]:
    return (Key(obj.metadata.namespace or "", obj.metadata.name),)


class _Context(Context):
    """A controller's view of the engine."""

    def __init__(self, engine: Engine, controller: Controller, options: Any) -> None:
        self.client = engine.client
        self.clock = engine.clock
        self.options = options
        self.events = engine.events.recorder(controller.event_source or f"{controller.name}-controller")
        self.queue: WorkQueue[Key] = WorkQueue(engine.clock)
        self.used: dict[type[Any], Informer[Any]] = {}
        self._informers = engine.informers

    def informer(self, kind: type[K]) -> Informer[K]:
        informer = self._informers.informer(kind)
        self.used[kind] = informer
        return informer

    def watch(
        self,
        kind: type[K],
        keys: Callable[[K], Iterable[Key]] | None = None,
        *,
        on: Callable[[K | None, K | None], bool] | None = None,
    ) -> Informer[K]:
        add = self.queue.add
        keys_of = keys or _own_key

        def changed(old: K | None, new: K | None) -> None:
            if on is not None and not on(old, new):
                return
            if new is not None:
                for key in keys_of(new):
                    add(key)
            if old is not None and (new is None or keys is not None):
                for key in keys_of(old):
                    add(key)

        informer = self.informer(kind)
        informer.on_change(changed)
        return informer

    def watch_owned(self, kind: type[Any], owner: type[Any]) -> Informer[Any]:
        from kybern.api import types

        owner_kind = types.kind_of(owner)

        def keys(obj: Any) -> Iterable[Key]:
            reference = controller_of(obj)
            if reference is None or reference.kind != owner_kind.kind:
                return ()
            if reference.apiVersion.rpartition("/")[0] != owner_kind.group:
                return ()
            namespace = obj.metadata.namespace or "" if owner_kind.namespaced else ""
            return (Key(namespace, reference.name),)

        return self.watch(kind, keys)

    def enqueue(self, key: Key, after: float = 0.0) -> None:
        self.queue.add_after(key, after)


class _Running:
    """A controller with its queue and counters."""

    def __init__(self, controller: Controller, context: _Context) -> None:
        self.controller = controller
        self.context = context
        self.metrics = ControllerMetrics()
        self.conflicts: dict[Key, int] = {}

    async def work(self) -> None:
        queue = self.context.queue
        while True:
            try:
                key = await queue.get()
            except QueueClosed:
                return
            try:
                await self._reconcile(key)
            finally:
                queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        metrics, clock = self.metrics, self.context.clock
        metrics.active += 1
        started = clock.monotonic()
        try:
            result = await self.controller.reconcile(key)
        except StatusError as error:
            self._refused(key, error)
        except Exception:
            metrics.panics += 1
            metrics.errors += 1
            delay = self.context.queue.add_failed(key)
            log.exception("%s: %s failed, trying again in %g s", self.controller.name, _text(key), delay)
        else:
            self._succeeded(key, result)
        finally:
            metrics.active -= 1
            metrics.reconciled += 1
            metrics.seconds += clock.monotonic() - started

    def _succeeded(self, key: Key, result: Result | None) -> None:
        queue = self.context.queue
        queue.forget(key)
        self.conflicts.pop(key, None)
        if result is not None and result.requeue_after is not None:
            self.metrics.requeues += 1
            queue.add_after(key, result.requeue_after)

    def _refused(self, key: Key, error: StatusError) -> None:
        queue = self.context.queue
        if error.reason == "Conflict":
            self.metrics.conflicts += 1
            lost = self.conflicts[key] = self.conflicts.get(key, 0) + 1
            if lost <= FREE_CONFLICTS:
                queue.add(key)
            else:
                queue.add_failed(key)
            return
        self.metrics.errors += 1
        delay = queue.add_failed(key)
        # An object that is deleted while we work on it is no trouble; a 404 that comes again is.
        level = logging.DEBUG if error.code == 404 and queue.failures(key) == 1 else logging.WARNING
        log.log(level, "%s: %s failed, trying again in %g s: %s", self.controller.name, _text(key), delay, error)

    async def background(self) -> None:
        """The controller's own `run`, started again when it fails."""
        while True:
            try:
                await self.controller.run()
                return
            except Exception:
                self.metrics.panics += 1
                log.exception("%s: its background task failed", self.controller.name)
                await self.context.clock.sleep(RESTART_DELAY)


def _text(key: Key) -> str:
    return f"{key.namespace}/{key.name}" if key.namespace else key.name


class Engine:
    """Controllers over one client and one set of informers. `informers.run()` and `events.run()` are the caller's."""

    def __init__(self, client: Client, clock: Clock, informers: Informers, events: Events) -> None:
        self.client = client
        self.clock = clock
        self.informers = informers
        self.events = events
        self._running: dict[str, _Running] = {}

    def add(self, controller: Controller, options: Any = None) -> None:
        """Set the controller up; it starts to work with `run`. ValueError when the name is taken."""
        if controller.name in self._running:
            raise ValueError(f"two controllers are named {controller.name!r}")
        context = _Context(self, controller, options)
        with self.informers.setting_up():
            controller.setup(context)
        self._running[controller.name] = _Running(controller, context)

    async def run(self) -> None:
        """Work until `stop` or cancelled."""
        async with anyio.create_task_group() as tasks:
            for running in self._running.values():
                tasks.start_soon(self._run_one, running)

    def stop(self) -> None:
        """Begin no further reconcile; `run` returns when those under way are finished."""
        for running in self._running.values():
            running.context.queue.close()

    @property
    def idle(self) -> bool:
        """Whether no controller has anything to do right now (delayed keys do not count)."""
        return all(running.context.queue.idle for running in self._running.values())

    @property
    def controllers(self) -> dict[str, ControllerMetrics]:
        """Counters by controller name."""
        return {name: running.metrics for name, running in self._running.items()}

    def metrics(self) -> Iterator[str]:
        """Lines for /metrics."""
        depths = {name: len(running.context.queue) for name, running in self._running.items()}
        return exposition(self.controllers, depths)

    async def _run_one(self, running: _Running) -> None:
        for informer in list(running.context.used.values()):
            await informer.synced()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.background)
            async with anyio.create_task_group() as workers:
                for _ in range(running.controller.workers):
                    workers.start_soon(running.work)
            tasks.cancel_scope.cancel()
