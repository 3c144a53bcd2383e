"""A running cluster: makes every component from the configuration and its plugins, and joins them.

This is the one place that knows both the server and its clients. Order: store, API server, bootstrap
objects, informers, then controllers, scheduler and nodes, all supervised in one task group; stopping
goes the other way round.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from kybern import config as settings
from kybern.api import registry
from kybern.clock import Clock, PacedClock
from kybern.cluster import clocks, listener, nodes, stores
from kybern.cluster.check import check
from kybern.cluster.start import Start
from kybern.cluster.state import Record, State
from kybern.config import Config, ConfigError
from kybern.plugins import Plugins
from kybern.plugins import load as load_plugins

if TYPE_CHECKING:
    from kybern.apiserver.server import APIServer
    from kybern.cluster.inprocess import InProcessClient
    from kybern.cluster.pki import PKI
    from kybern.node.agent import NodeAgent
    from kybern.node.usage import NodeUsage
    from kybern.reconcile.engine import Engine
    from kybern.reconcile.events import Events
    from kybern.reconcile.informers import Informers
    from kybern.scheduler.scheduler import Scheduler
    from kybern.store.interface import Store

__all__ = ["Cluster", "running"]

log = logging.getLogger("kybern")


class StartCancelled(Exception):
    """The cluster was stopped before it was ready."""


class Cluster:
    """One cluster in this process and event loop. Use `running`, or `start` and `stop`."""

    server: APIServer
    client: InProcessClient
    """In process, as system:masters."""
    informers: Informers
    events: Events
    engine: Engine
    scheduler: Scheduler | None = None
    nodes: NodeAgent | None = None
    store: Store
    pki: PKI

    def __init__(
        self,
        config: Config,
        *,
        state: State,
        clock: Clock | None = None,
        plugins: Plugins | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`progress` is told each step in words. The caller holds the lock of `state`."""
        check(config)
        self.config = config
        self.state = state
        self.clock = clock or clocks.chosen(config.time, state)
        self.plugins = plugins or load_plugins(config.plugins.enable, config.plugins.disable)
        self.url = ""
        self._progress = progress
        self._options: dict[str, Any] = {}
        self._stopping = asyncio.Event()
        self._ready: asyncio.Future[None]
        self._main: asyncio.Task[None]

    def options(self, plugin: str) -> Any:
        """A plugin's own section as its `Options` class; ConfigError when it does not fit."""
        if plugin not in self._options:
            cls = self.plugins[plugin].options_class
            section = self.config.plugins.options.get(plugin, {})
            if cls is None and section:
                raise ConfigError(f"plugins.{plugin}: this plugin has no settings")
            self._options[plugin] = settings.structure(section, cls, f"plugins.{plugin}") if cls else None
        return self._options[plugin]

    async def start(self) -> None:
        """Bring everything up; returns when the cluster is ready. On failure everything is down again."""
        self._ready = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(), name="kybern cluster")
        try:
            await asyncio.shield(self._ready)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take everything down in order; what was accepted is finished."""
        self._stopping.set()
        if not self._ready.done():
            self._main.cancel()
        await asyncio.wait([self._main])

    async def ended(self) -> None:
        """Return when the cluster has stopped; raises what made it stop by itself."""
        await asyncio.shield(self._main)

    async def _run(self) -> None:
        """The whole life, in one task: components live in task groups, which must end where they began."""
        try:
            async with AsyncExitStack() as stack:
                await self._bring_up(stack)
                self.plugins.call("kybern_cluster_started", cluster=self)
                self._ready.set_result(None)
                await self._stopping.wait()
                self.plugins.call("kybern_cluster_stopping", cluster=self)
        except BaseException as e:
            if self._ready.done():
                raise
            cause = _only(e)
            self._ready.set_exception(StartCancelled() if isinstance(cause, asyncio.CancelledError) else cause)

    async def _bring_up(self, stack: AsyncExitStack) -> None:
        self._check_options()
        self._make_pki()
        start = self._join()
        self._progress(f"opening the {self.config.store.driver} store")
        self.store = stores.chosen(self.plugins, self.config, self.state, self.clock, start)
        await self.store.start()
        stack.push_async_callback(self.store.close)
        await self._serve(start, stack)
        tasks = await stack.enter_async_context(_supervised())
        if isinstance(self.clock, PacedClock):
            stack.callback(clocks.save, self.clock, self.state)
            tasks.start_soon(self.clock.run)
        tasks.start_soon(self.informers.run)
        tasks.start_soon(self.events.run)
        for bootstrap in self.plugins.collect("kybern_bootstrap", start=start):
            await bootstrap(self.client)
        await self._run_components(tasks, start)
        self.server.set_ready()

    def _check_options(self) -> None:
        for name in self.config.plugins.options:
            try:
                self.options(name)
            except KeyError:
                raise ConfigError(f"plugins.{name}: there is no plugin of that name; see: kybern plugins") from None

    def _make_pki(self) -> None:
        from kybern.cluster.pki import PKI

        self._progress("making certificates" if not self.state.pki.exists() else "checking certificates")
        api = self.config.api
        self.pki = PKI(
            self.state.pki, self.clock.outside, hosts=tuple({api.address, *api.names}), service_ip=self._service_ip()
        )
        self.pki.prepare()

    def _service_ip(self) -> str:
        import ipaddress

        try:
            return str(ipaddress.ip_network(self.config.network.service_cidr)[1])
        except (ValueError, IndexError) as e:
            raise ConfigError(
                f"network.service_cidr: {self.config.network.service_cidr!r} is not an address range: {e}"
            ) from None

    def _join(self) -> Start:
        """The in-process client and the shared caches; they answer once the server serves."""
        from kybern.cluster.inprocess import InProcessClient
        from kybern.reconcile.events import Events
        from kybern.reconcile.informers import Informers

        kinds = registry.Registry(registry.builtin())
        self.client = InProcessClient(lambda: self.server)
        self.informers = Informers(self.client, self.clock)
        self.events = Events(self.client, self.clock)
        return Start(
            self.config,
            self.clock,
            self.state.root,
            self.pki,
            self.client,
            self.informers,
            self.events,
            kinds,
            self.options,
            self._usage,
        )

    async def _usage(self, pods: Iterable[Any] | None = None) -> Sequence[NodeUsage]:
        return await self.nodes.usage(pods) if self.nodes is not None else ()

    async def _serve(self, start: Start, stack: AsyncExitStack) -> None:
        """The API server over the store, listening."""
        from kybern.api.kind import Kind
        from kybern.apiserver.admission import Admission
        from kybern.apiserver.authentication import Authenticator
        from kybern.apiserver.authorization import Authorizer
        from kybern.apiserver.reviews import Review
        from kybern.apiserver.routes import Route
        from kybern.apiserver.server import APIServer
        from kybern.cluster.routes import routes

        self.pki.ensure()
        collect = self.plugins.collect
        for kind in collect("kybern_resources", of=Kind, start=start):
            start.registry.add(kind)
        network = self.config.network
        self.server = APIServer(
            store=self.store,
            registry=start.registry,
            clock=self.clock,
            authenticators=collect("kybern_authenticator", of=Authenticator, start=start),
            authorizers=collect("kybern_authorizer", of=Authorizer, start=start),
            admission=collect("kybern_admission", of=Admission, start=start),
            reviews=collect("kybern_reviews", of=Review, start=start),
            routes=[*routes(self), *collect("kybern_routes", of=Route, start=start)],
            service_cidr=network.service_cidr,
            node_port_range=network.node_port_range,
            tracks_everybody=self.config.api.track_all_writers,
        )
        self._progress("starting the API server")
        await self.server.start()
        stack.push_async_callback(self.server.close)
        listening = listener.listen(self.config.api, self.state.read().port if self.state.exists else 0)
        self.url = start.server_url = listener.url(listening, self.config.api.address)
        await self.server.serve(listening, self.pki.server_ssl_context())

    async def _run_components(self, tasks: anyio.abc.TaskGroup, start: Start) -> None:
        from kybern.reconcile.engine import Engine
        from kybern.reconcile.interface import Controller

        self.engine = Engine(self.client, self.clock, self.informers, self.events)
        if self.config.controllers.enabled:
            controllers = self.plugins.collect("kybern_controllers", of=Controller, start=start)
            self._check_disabled({controller.name for controller in controllers})
            for controller in controllers:
                if controller.name not in self.config.controllers.disable:
                    self.engine.add(controller)
            self.server.metrics.add_lines(self.engine.metrics)
            self._progress("starting controllers")
            tasks.start_soon(self.engine.run)
        if self.config.scheduler.enabled:
            self._progress("starting the scheduler")
            self.scheduler = self._make_scheduler(start)
            tasks.start_soon(self.scheduler.run)
        if configured := nodes.configured(self.config):
            from kybern.cluster.streams import JoinedStreams

            self._progress(f"starting {len(configured)} node{'s' if len(configured) > 1 else ''}")
            self.nodes = nodes.make_agent(self, start, configured)
            self.server.nodes = JoinedStreams(self.nodes)
            tasks.start_soon(self.nodes.run)
        tasks.start_soon(self.pki.keep_renewed)

    def _check_disabled(self, known: set[str]) -> None:
        for i, name in enumerate(self.config.controllers.disable):
            if name not in known:
                there = ", ".join(sorted(known))
                raise ConfigError(f"controllers.disable[{i}]: there is no controller {name!r}; there are: {there}")

    def _make_scheduler(self, start: Start) -> Scheduler:
        from kybern.scheduler.scheduler import Scheduler

        policies = self.plugins.collect("kybern_scheduling_policy", start=start)
        return Scheduler(
            self.client.as_component("kube-scheduler"),
            self.informers,
            self.clock,
            self.events.recorder("default-scheduler"),
            policies,
            self._scheduler_config(),
        )

    def _scheduler_config(self) -> Any:
        if not self.config.scheduler.config:
            return None
        from kybern.scheduler.config import read

        try:
            config = read(Path(self.config.scheduler.config))
        except (OSError, ValueError) as e:
            raise ConfigError(f"scheduler.config: {self.config.scheduler.config}: {e}") from None
        for warning in config.warnings:
            log.warning("%s: %s", self.config.scheduler.config, warning)
        return config


def _only(e: BaseException) -> BaseException:
    """What a task group's exception is about, when it is about one thing."""
    while isinstance(e, BaseExceptionGroup) and len(e.exceptions) == 1:
        e = e.exceptions[0]
    return e


@asynccontextmanager
async def _supervised() -> AsyncIterator[anyio.abc.TaskGroup]:
    """A task group that is cancelled and awaited when the cluster stops; a component that fails stops it."""
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        finally:
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def running(
    config: Config | None = None,
    *,
    clock: Clock | None = None,
    state_dir: Path | None = None,
    plugins: Plugins | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Cluster]:
    """A cluster for the length of a `with` block. `state_dir` None: a temporary one."""
    with tempfile.TemporaryDirectory(prefix="kybern-") as temporary:
        state = State(state_dir or Path(temporary) / "cluster")
        config = config or Config()
        state.lock()
        if not state.exists:
            state.write(Record(name=config.name))
        cluster = Cluster(config, state=state, clock=clock, plugins=plugins, progress=progress)
        try:
            await cluster.start()
            try:
                yield cluster
            finally:
                await cluster.stop()
        finally:
            state.unlock()
