"""A small world for tests of controllers: an API server in memory, the engine, and a clock that stands still.

async def test_it(world: World) -> None:
    await world.apply(ReplicaSet, {...})
    async with world.running(ReplicaSetController()):
        await world.settle(1)
        assert len(world.all(Pod)) == 3
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from kybern.api import types
from kybern.api.core import Pod, PodCondition
from kybern.api.time import format_time
from kybern.client.interface import Client
from kybern.clock import VirtualClock, settle
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller
from kybern.testing.client import WorldClient

__all__ = ["World"]


class World:
    """What a test talks to."""

    def __init__(self, **options: Any) -> None:
        """There are no namespaces, accounts or nodes, nobody is refused anything; scheduler and kubelets are
        the test. `options` ask for more: `kinds` to serve besides the built-in ones, and arguments of the APIServer."""
        self.clock = VirtualClock()
        self.client = WorldClient(self.clock, **options)

    @asynccontextmanager
    async def running(self, *controllers: Controller, client: Client | None = None) -> AsyncIterator[Engine]:
        """The controllers at work; leaving kills them where they stand. `client`: what they reach the server by."""
        client = client or self.client
        informers = Informers(client, self.clock)
        events = Events(client, self.clock)
        engine = Engine(client, self.clock, informers, events)
        for controller in controllers:
            engine.add(controller)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informers.run)
            tasks.start_soon(events.run)
            tasks.start_soon(engine.run)
            await settle()
            yield engine
            tasks.cancel_scope.cancel()

    async def apply(self, kind: type[Any], data: dict[str, Any]) -> Any:
        """Create from plain data, in `default` unless told; a status is written after that, as whoever it belongs to
        would. Returns the object as stored; StatusError when the server refuses it."""
        obj = types.from_plain(kind, {**data, "metadata": {"namespace": "default", **data.get("metadata", {})}})
        made = await self.client.create(obj)
        if not data.get("status"):
            return made
        return await self.set_status(made, lambda changed: setattr(changed, "status", obj.status))

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything that can happen now happen, and then `seconds` pass."""
        await settle()
        if seconds:
            await self.clock.advance(seconds)

    def all(self, kind: type[Any]) -> list[Any]:
        """All objects of a kind as they are stored now, oldest first."""
        return self.client.all(kind)

    def events(self) -> list[str]:
        """`Type Reason message` of all Events so far, with counts over one."""
        from kybern.api.core import Event

        return [f"{e.type} {e.reason} {e.message}" + (f" (x{e.count})" if e.count > 1 else "") for e in self.all(Event)]

    def took(self) -> list[str]:
        """The actions since last asked, without Events."""
        taken = [action for action in self.client.actions if " Event " not in action]
        self.client.actions.clear()
        return taken

    async def set_status(self, obj: Any, change: Callable[[Any], None]) -> Any:
        """Write an object's status as a kubelet or another controller would: `change` gets a copy of the object as it
        is now. Returns it as stored; StatusError when it is gone or the status is refused."""
        fresh = await self.client.get(type(obj), obj.metadata.name, obj.metadata.namespace or "")
        changed = types.copy(fresh)
        change(changed)
        return await self.client.update_status(changed)

    async def bind(self, pod: Any, node: str) -> None:
        """Give a pod a node, as the scheduler would; there need be no such node."""
        from kybern.api.core import Binding, ObjectReference
        from kybern.api.meta import ObjectMeta

        metadata = ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace)
        binding = Binding(metadata=metadata, target=ObjectReference(kind="Node", name=node))
        await self.client.create_subresource(Pod, pod.metadata.name, pod.metadata.namespace, "binding", binding)

    async def make_ready(self, pods: Sequence[Any] | None = None, ready: bool = True) -> None:
        """Report pods (all, unless told) as running and ready, or not ready."""
        text = format_time(self.clock.now())

        def change(pod: Any) -> None:
            pod.status.phase = "Running"
            pod.status.conditions = [
                PodCondition(type="Ready", status="True" if ready else "False", lastTransitionTime=text)
            ]

        for pod in self.all(Pod) if pods is None else pods:
            if pod.status.phase not in ("Succeeded", "Failed") and _is_ready(pod) != ready:
                await self.set_status(pod, change)

    async def confirm_end(self, pod: Any) -> None:
        """The kubelet reports that a pod which is being deleted runs no longer; finalizers may still hold it."""
        await self.client.delete(Pod, pod.metadata.name, pod.metadata.namespace, grace_period=0)

    async def run_pods(self, rounds: int = 50) -> None:
        """Be the kubelet until nothing changes: start what is new, end what is being deleted. AssertionError when
        something still changes after so many rounds."""
        for _ in range(rounds):
            before = len(self.client.actions)
            await self.settle(0.2)
            for pod in self.all(Pod):
                if pod.metadata.deletionTimestamp and pod.metadata.deletionGracePeriodSeconds:
                    await self.confirm_end(pod)
            await self.make_ready()
            await self.settle(0.2)
            if len(self.client.actions) == before:
                return
        raise AssertionError("the world does not come to rest")


def _is_ready(pod: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
