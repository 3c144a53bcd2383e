"""The node agent: hosts any number of nodes in one process.

It follows all pods with one informer and hands each to its node's worker; everything after that
(decide, act, report) is in the modules beside it, each of which serves all nodes alike.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.node.config import AgentConfig, NodeConfig
from kybern.node.env import service_env
from kybern.node.heartbeat import Heartbeats
from kybern.node.hosted_node import HostedNode
from kybern.node.pod_worker import PodWorker
from kybern.node.runtime import RuntimeDriver, RuntimeFault
from kybern.node.sources import Sources
from kybern.node.status_writer import StatusWriter, newer
from kybern.node.streams import Streams
from kybern.node.usage import NodeUsage, usage_of, usage_of_pods
from kybern.reconcile.interface import EventRecorder, Informer

__all__ = ["NodeAgent"]

log = logging.getLogger(__name__)

_STARTERS = 32
_RESTART = 5.0


class InformerSource(Protocol):
    """Where the agent gets its informers; `kybern.reconcile.informers.Informers` is one."""

    def informer(self, kind: Any) -> Informer[Any]:
        """The shared informer of a kind."""


class NodeAgent:
    """Runs `nodes`. `await run()` until cancelled; containers outlive it."""

    def __init__(
        self,
        client: Client,
        informers: InformerSource,
        clock: Clock,
        events: EventRecorder,
        nodes: Iterable[NodeConfig],
        drivers: Mapping[str, type[RuntimeDriver]],
        state_dir: Path,
        config: AgentConfig | None = None,
    ) -> None:
        """`drivers`: runtime drivers by name, as plugins registered them. `state_dir` exists and is this agent's."""
        self.client = client
        self.clock = clock
        self.config = config or AgentConfig()
        self.sources = Sources(client, clock, informers.informer if self.config.shared_caches else None)
        self.statuses = StatusWriter(self, self.config.status_writers)
        self.heartbeats = Heartbeats(self)
        self.streams = Streams(self)
        """Has the shape of `kybern.apiserver.nodes.NodeStreams`."""
        self.nodes: dict[str, HostedNode] = {}
        self._events = events
        self._informers = informers
        self._drivers = drivers
        self._state_dir = state_dir
        self._tasks: asyncio.TaskGroup | None = None
        self._bucket = _Bucket(clock, self.config.event_qps, self.config.event_burst)
        self._service_env: dict[tuple[str, bool], dict[str, str]] = {}
        self._pods: Informer[Any]
        self._node_objects: Informer[Any]
        self._services: Informer[Any]
        for node in nodes:
            self._add(node)

    def _add(self, config: NodeConfig) -> HostedNode:
        try:
            driver = self._drivers[config.runtime]
        except KeyError:
            known = ", ".join(sorted(self._drivers)) or "none"
            raise ValueError(f"node {config.name!r}: no runtime {config.runtime!r} (known: {known})") from None
        options = self.config.runtime_options.get(config.runtime)
        node = HostedNode(self, config, driver(config.name, self.clock, options, self._state_dir))
        self.nodes[config.name] = node
        return node

    async def run(self) -> None:
        """Register the nodes and run their pods until cancelled."""
        from kybern.api.core import ConfigMap, Node, Pod, Secret, Service

        self._pods = self._informers.informer(Pod)
        self._node_objects = self._informers.informer(Node)
        self._services = self._informers.informer(Service)
        self._pods.add_index("spec.nodeName", _node_name)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                if self.config.shared_caches:
                    for kind in (ConfigMap, Secret):
                        self._informers.informer(kind)
                for informer in (self._pods, self._node_objects, self._services):
                    await informer.synced()
                self._pods.on_change(self._pod_changed)
                self._node_objects.on_change(self._node_changed)
                self._services.on_change(self._service_changed)
                try:
                    await self._start_all()
                    await asyncio.get_running_loop().create_future()
                finally:
                    self._tasks = None
        finally:
            self._tasks = None
            self.sources.close()
            for node in self.nodes.values():
                if node.alive:
                    await node.stop()

    async def _start_all(self) -> None:
        waiting = list(reversed(self.nodes.values()))

        async def starter() -> None:
            while waiting:
                await self._start(waiting.pop())

        await asyncio.gather(*(starter() for _ in range(min(_STARTERS, len(waiting)))))

    async def _start(self, node: HostedNode) -> None:
        """Bring a node up; tried again later when its runtime or the API server does not answer."""
        try:
            await node.start()
            await self.heartbeats.register(node)
        except (RuntimeFault, StatusError) as error:
            log.warning("node %s cannot start: %s", node.name, error)
            node.alive = False
            node.timers["start"] = self.clock.call_later(_RESTART, lambda: self.spawn(self._start(node)))
            return
        if self._node_objects.get(node.name) is not None:
            self._node_changed(None, self._node_objects.get(node.name))
        if not node.driver.runtime.on_event(node.runtime_event):
            self.spawn(self._relist(node))
        await self._push_pod_cidr(node)
        await node.recover(self._pods.by_index("spec.nodeName", node.name))
        node.serving = True
        for pod in sorted(self._pods.by_index("spec.nodeName", node.name), key=_age):
            node.pod_changed(pod)
        self.spawn(self._keep_house(node))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run something until it is done or the agent ends; when the agent is ending, it is dropped."""
        if self._tasks is not None:
            try:
                return self._tasks.create_task(work)
            except RuntimeError:  # a task failed and the group is going down
                pass
        work.close()
        return None

    # Single nodes, for tests and for clusters that grow

    async def add_node(self, config: NodeConfig) -> None:
        """Host one more node, at once."""
        await self._start(self._add(config))

    async def stop_node(self, name: str) -> None:
        """The node falls silent, as when its machine lost power; its containers keep running."""
        await self.nodes[name].stop()

    async def start_node(self, name: str) -> None:
        """Bring a stopped node back: everything is found again in its runtime."""
        config = self.nodes[name].config
        await self._start(self._add(config))

    async def shutdown_node(self, name: str, grace: float = 30.0) -> None:
        """Shut a node down in order: it takes no more pods, and those it has end as Failed within `grace` seconds."""
        node = self.nodes[name]
        node.shutting_down = True
        await self.heartbeats.report(node)
        for worker in list(node.workers.values()):
            own = worker.pod.spec.terminationGracePeriodSeconds
            worker.fail(
                "Terminated",
                "Pod was terminated in response to imminent node shutdown.",
                min(grace, 30.0 if own is None else float(own)),
            )

    def evict(self, namespace: str, pod: str, message: str) -> None:
        """Evict a pod because its node is short of something, which `message` names."""
        worker = self._worker(namespace, pod)
        worker.node.tell(worker.pod, "Warning", "Evicted", message)
        worker.fail("Evicted", message)

    async def set_pressure(self, name: str, condition: str, on: bool) -> None:
        """Put a node under MemoryPressure, DiskPressure or PIDPressure, whatever its runtime says; or end that."""
        node = self.nodes[name]
        if on:
            node.pressure[condition] = float("inf")
        else:
            node.pressure.pop(condition, None)
        await self.heartbeats.report(node)

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        for node in self.nodes.values():
            for worker in node.workers.values():
                metadata = worker.pod.metadata
                if (metadata.namespace, metadata.name) == (namespace, pod):
                    return worker
        raise LookupError(f"no pod {namespace}/{pod} on these nodes")

    async def kill_container(self, namespace: str, pod: str, container: str = "") -> None:
        """Kill a running container ("" : the pod's first) behind the agent's back, as the kernel might: exit code 137.

        LookupError when no node here runs that pod or it has no such container.
        """
        worker = self._worker(namespace, pod)
        container = container or worker.pod.spec.containers[0].name
        found = worker.known.history(container)
        if not found:
            raise LookupError(f"pod {namespace}/{pod} has no container {container!r}")
        for status in found:
            await worker.node.runtime.stop_container(status.id, 0)
        worker.kick()

    async def usage(self, pods: Iterable[Any] | None = None) -> list[NodeUsage]:
        """What the nodes and their pods use now; of these pods only, when some are named."""
        if pods is None:
            return await usage_of(list(self.nodes.values()))
        return await usage_of_pods(self.nodes, pods)

    # What others tell

    def _pod_changed(self, old: Any, new: Any) -> None:
        gone = old if old is not None and (new is None or new.metadata.uid != old.metadata.uid) else None
        if gone is not None and (node := self._serving(gone)) is not None:
            node.pod_removed(gone)
        if new is not None and (node := self._serving(new)) is not None:
            node.pod_changed(new)

    def _serving(self, pod: Any) -> HostedNode | None:
        """The node of ours that a pod is bound to."""
        node = self.nodes.get(pod.spec.nodeName or "")
        return node if node is not None and node.serving else None

    def deliver(self, worker: PodWorker, pod: Any) -> None:
        """A version of a pod from the informer, which may lag behind what the agent wrote itself."""
        if newer(pod, worker.pod):
            worker.update(pod)

    def _node_changed(self, old: Any, new: Any) -> None:
        node = self.nodes.get((new if new is not None else old).metadata.name)
        if node is None or not node.alive:
            return
        if new is None:
            log.warning("node %s was deleted; it comes back when its agent starts again", node.name)
            node.registered = False
            return
        if not node.registered or new.metadata.uid != node.object.metadata.uid:
            node.registered, node.object, node.lease, node.reported = True, new, None, None
        if node.object is None or newer(new, node.object):
            before, node.object = node.object, new
            if before is not None and before.status.volumesAttached != new.status.volumesAttached:
                node.volumes_attached()
        if node.pod_cidr != node.told_cidr:
            self.spawn(self._push_pod_cidr(node))

    async def _push_pod_cidr(self, node: HostedNode) -> None:
        if cidr := node.pod_cidr:
            await node.runtime.update_runtime_config(cidr)
            node.told_cidr = cidr
            for worker in list(node.workers.values()):
                if not worker.known.sandboxes:
                    worker.kick()

    def _service_changed(self, old: Any, new: Any) -> None:
        self._service_env.clear()

    def service_env(self, namespace: str, links: bool) -> Mapping[str, str]:
        """Variables about the services a pod of a namespace may see: the API server's, and with `links` its own."""
        key = (namespace, links)
        env = self._service_env.get(key)
        if env is None:
            master = self._services.get("kubernetes", "default")
            services = [master] if master is not None else []
            if links:
                services += sorted(self._services.list(namespace), key=lambda s: str(s.metadata.name))
            env = self._service_env[key] = service_env(services)
        return env

    def runtime_handler(self, runtime_class: str) -> str:
        """The handler of a RuntimeClass; its name unless the class says otherwise."""
        return runtime_class

    def recorder(self, node: str) -> EventRecorder:
        """Where a node's events go."""
        make: Callable[..., EventRecorder] | None = getattr(self._events, "recorder", None)
        return make("kubelet", node) if make is not None else self._events

    def may_tell(self, type: str) -> bool:
        """Whether an event may be sent now: the kubelet's limit, per process. Warnings are never held back."""
        return self._bucket.take() or type == "Warning"

    # What nobody tells

    async def _relist(self, node: HostedNode) -> None:
        """Find out what changed in a runtime that does not tell."""
        before: dict[str, Any] = {}
        while node.alive:
            await self.clock.sleep(self.config.relist_interval)
            try:
                containers = await node.runtime.list_containers()
            except RuntimeFault as fault:
                log.debug("node %s: %s", node.name, fault)
                continue
            now = {c.id: (c.labels.get("io.kubernetes.pod.uid", ""), c.state) for c in containers}
            changed = {uid for cid, (uid, state) in now.items() if before.get(cid, ("", None))[1] is not state}
            changed |= {uid for cid, (uid, _) in before.items() if cid not in now}
            before = now
            for uid in changed:
                if worker := node.workers.get(uid):
                    worker.kick()

    async def _keep_house(self, node: HostedNode) -> None:
        """Remove what belongs to no pod any more."""
        try:
            for sandbox in await node.runtime.list_pod_sandboxes():
                if sandbox.uid not in node.workers:
                    log.info("node %s: removing orphaned pod %s/%s", node.name, sandbox.namespace, sandbox.name)
                    await node.runtime.stop_pod_sandbox(sandbox.id)
                    await node.runtime.remove_pod_sandbox(sandbox.id)
        except RuntimeFault as fault:
            log.warning("node %s: housekeeping: %s", node.name, fault)
        if node.alive:
            delay = self.config.housekeeping_interval * (0.5 + node.jitter("housekeeping"))
            node.timers["housekeeping"] = self.clock.call_later(
                delay, lambda: self.spawn(self._keep_house(node)), leap=math.inf
            )


def _node_name(pod: Any) -> Iterable[str]:
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def _age(pod: Any) -> tuple[str, str]:
    return pod.metadata.creationTimestamp or "", pod.metadata.name


class _Bucket:
    """A token bucket."""

    __slots__ = ("_burst", "_clock", "_filled", "_rate", "_tokens")

    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled = clock.monotonic()

    def take(self) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
