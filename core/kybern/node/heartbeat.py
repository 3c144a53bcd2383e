"""A node's life signs: registration, the lease every 10 seconds, and its status when it changed or 5 minutes passed.

Nodes do not wait in tasks: those that are due in the same quarter of a second share a timer, and a few
tasks serve them together, so that the store writes their leases in one go.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any

from kybern.api import quantity
from kybern.api.errors import StatusError
from kybern.api.time import format_micro_time
from kybern.node.csi_node import register_csi_node
from kybern.node.eviction import MEMORY_THRESHOLD, choose_victim, eviction_message, memory_available
from kybern.node.hosted_node import HostedNode
from kybern.node.node_object import Observation, new_node, node_labels, node_status, transitions
from kybern.node.runtime import RuntimeCondition, RuntimeFault, RuntimeStatus

if TYPE_CHECKING:
    from kybern.node.agent import NodeAgent

__all__ = ["Heartbeats"]

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
_RETRY = 2.0
_AT_ONCE = 64
_TICK = 0.25
_PRESSURE_LASTS = 300.0
_GLANCE = 900.0
"""Seconds of virtual time that a node with pods may be left unseen for, at most."""


class Heartbeats:
    """Keeps all nodes of an agent registered and alive."""

    def __init__(self, agent: NodeAgent) -> None:
        self._agent = agent
        self._due: deque[HostedNode] = deque()
        self._active = 0
        self._wheel: dict[tuple[int, float], list[HostedNode]] = {}
        """Nodes by the tick in which they are due, and how late it may be."""

    async def register(self, node: HostedNode) -> None:
        """Create the Node, or take over the one that is there; then the lease and the CSINode."""
        from kybern.api.core import Node

        client = self._agent.client
        wanted = new_node(node.config, node.machine)
        seen = await _observe(node)
        wanted.status = _status(node, seen, None)
        try:
            node.object = await client.create(wanted)
        except StatusError as error:
            if error.code != 409:
                raise
            node.object = await self._take_over(node, seen, await client.get(Node, node.name))
        if not (node.object.status.conditions or ()):
            await self._write_status(node, wanted.status)
        node.reported, node.reported_at = seen, node.clock.monotonic()
        node.registered = True
        await self._renew(node)
        await register_csi_node(client, node.object, node.driver.csi_drivers)
        node.tell_node("Normal", "Starting", "Starting kubelet.")
        self._tell(node, None, wanted.status)
        self._again(node)

    async def _take_over(self, node: HostedNode, seen: Observation, current: Any) -> Any:
        labels = node_labels(node.config, node.machine)
        if any((current.metadata.labels or {}).get(k) != v for k, v in labels.items()):
            patch = {"metadata": {"labels": labels}}
            current = await self._agent.client.patch(type(current), node.name, "", patch, type="merge")
        node.object = current
        await self._write_status(node, _status(node, seen, current.status))
        return node.object

    def _again(self, node: HostedNode) -> None:
        """Have the node's lease renewed, and a look at its status taken, at its own time in the next interval.

        Whoever leaps over a stretch of virtual time may leave out beats, but must not take the node for dead.
        """
        interval, clock = self._agent.config.lease_interval, node.clock
        if node.alive:
            clock.begin_pulse(node.pulse)
        left = interval - (clock.monotonic() - node.jitter("lease") * interval) % interval
        self._after(node, left if left > _TICK else left + interval, _leap(node))

    def _after(self, node: HostedNode, delay: float, leap: float = 0.0) -> None:
        """In the tick that `delay` leads into."""
        now = node.clock.monotonic()
        tick = max(int((now + delay) / _TICK), int(now / _TICK) + 1)
        if (tick, leap) not in self._wheel:
            self._wheel[tick, leap] = []
            node.clock.call_later(tick * _TICK - now, self._beat, (tick, leap), leap=leap)
        self._wheel[tick, leap].append(node)

    def _beat(self, due: tuple[int, float]) -> None:
        self._due.extend(self._wheel.pop(due))
        while self._active < min(_AT_ONCE, len(self._due)):
            self._active += 1
            self._agent.spawn(self._drain())

    async def _drain(self) -> None:
        try:
            while self._due:
                node = self._due.popleft()
                if node.alive:
                    await self._serve(node)
        finally:
            self._active -= 1

    async def _serve(self, node: HostedNode) -> None:
        try:
            if node.registered:
                await self._renew(node)
                await self._relieve(node)
                await self.report(node)
        except Exception as error:
            expected = isinstance(error, StatusError)
            log.warning("node %s cannot report: %s", node.name, error, exc_info=not expected)
            node.clock.end_pulse(node.pulse)
            self._after(node, _RETRY if expected else self._agent.config.lease_interval)
        else:
            self._again(node)

    async def _relieve(self, node: HostedNode) -> None:
        """Look how much memory is left; while it is too little, evict a pod each time."""
        usage, now = await node.runtime.pod_usage(), node.clock.monotonic()
        capacity = quantity.value((node.object.status.capacity or {}).get("memory", "0"))
        available = memory_available(capacity, usage)
        node.memory = len(usage), available, available != node.memory[1]
        if capacity and available < MEMORY_THRESHOLD:
            node.pressure["MemoryPressure"] = now + _PRESSURE_LASTS
            victim = choose_victim([w.pod for w in node.workers.values()], usage)
            if victim is not None:
                metadata = victim.metadata
                message = eviction_message(victim, usage, available)
                self._agent.evict(metadata.namespace, metadata.name, message)
        for name in [name for name, until in node.pressure.items() if until <= now]:
            del node.pressure[name]

    async def _renew(self, node: HostedNode) -> None:
        from kybern.api.coordination import Lease

        client, now = self._agent.client, format_micro_time(node.clock.now())
        for _ in range(5):
            try:
                if node.lease is None:
                    node.lease = await client.create(self._new_lease(node, now))
                else:
                    changed = copy(node.lease)
                    changed.spec = copy(changed.spec)
                    changed.spec.renewTime = now
                    node.lease = await client.update(changed)
                return
            except StatusError as error:
                if error.code == 404:
                    node.lease = None
                    if error.details and error.details.get("kind") == "namespaces":
                        raise
                elif error.code == 409:
                    node.lease = await client.get(Lease, node.name, LEASE_NAMESPACE)
                else:
                    raise

    def _new_lease(self, node: HostedNode, now: str) -> Any:
        from kybern.api.coordination import Lease, LeaseSpec
        from kybern.api.meta import ObjectMeta, OwnerReference

        owner = OwnerReference(apiVersion="v1", kind="Node", name=node.name, uid=node.object.metadata.uid)
        return Lease(
            metadata=ObjectMeta(name=node.name, namespace=LEASE_NAMESPACE, ownerReferences=[owner]),
            spec=LeaseSpec(
                holderIdentity=node.name, leaseDurationSeconds=int(self._agent.config.lease_duration), renewTime=now
            ),
        )

    async def report(self, node: HostedNode, *, force: bool = False) -> None:
        """Write the node's status if it changed or its time has come."""
        if node.object is None or not node.registered:
            return
        seen, now = await _observe(node), node.clock.monotonic()
        interval = self._agent.config.status_report_interval * (1 + 0.1 * node.jitter("status"))
        if not force and seen == node.reported and now - node.reported_at < interval:
            return
        before = node.object.status
        status = _status(node, seen, before)
        if await self._write_status(node, status):
            node.reported, node.reported_at = seen, now
            self._tell(node, before, status)

    def _tell(self, node: HostedNode, old: Any, new: Any) -> None:
        for reason in transitions(old, new):
            node.tell_node("Normal", reason, f"Node {node.name} status is now: {reason}")

    async def _write_status(self, node: HostedNode, status: Any) -> bool:
        client = self._agent.client
        for _ in range(5):
            changed = copy(node.object)
            changed.status = status
            try:
                node.object = await client.update_status(changed)
                return True
            except StatusError as error:
                if error.code == 404:
                    return False
                if error.code != 409:
                    raise
                node.object = await client.get(type(node.object), node.name)
        return False


def _leap(node: HostedNode) -> float:
    """Nothing changes on a node without pods; where memory is on the move, each beat may find too little of it."""
    pods, _, moves = node.memory
    return 0.0 if moves else _GLANCE if pods else math.inf


async def _observe(node: HostedNode) -> Observation:
    try:
        health = await node.runtime.status()
        images = await node.driver.images.list_images()
    except RuntimeFault as fault:
        down = RuntimeCondition("RuntimeReady", False, "ContainerRuntimeNotReady", str(fault))
        health, images = RuntimeStatus((down,)), ()
    return Observation(health, tuple(images), frozenset(node.pressure), node.shutting_down)


def _status(node: HostedNode, seen: Observation, old: Any) -> Any:
    return node_status(node.config, node.machine, node.version, seen, old, node.clock.now())
