"""A small world for tests of controllers: a `MemoryClient`, the engine, and a clock that stands still.

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
from kybern.clock import VirtualClock, settle
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller
from kybern.testing.client import MemoryClient

__all__ = ["World"]


class World:
    """What a test talks to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.client = MemoryClient(self.clock)

    @asynccontextmanager
    async def running(self, *controllers: Controller) -> AsyncIterator[Engine]:
        """The controllers at work; leaving kills them where they stand."""
        informers = Informers(self.client, self.clock)
        events = Events(self.client, self.clock)
        engine = Engine(self.client, self.clock, informers, events)
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
        """Create from plain data."""
        data.setdefault("metadata", {}).setdefault("namespace", "default")
        return await self.client.create(types.from_plain(kind, data))

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything that can happen now happen, and then `seconds` pass."""
        await settle()
        if seconds:
            await self.clock.advance(seconds)

    def all(self, kind: type[Any]) -> list[Any]:
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
        """Write an object's status as a kubelet or another controller would."""
        fresh = await self.client.get(type(obj), obj.metadata.name, obj.metadata.namespace or "")
        changed = types.copy(fresh)
        change(changed)
        return await self.client.update_status(changed)

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

    async def run_pods(self, rounds: int = 50) -> None:
        """Be the kubelet until nothing changes: start what is new, end what is being deleted."""
        for _ in range(rounds):
            before = len(self.client.actions)
            await self.settle(0.2)
            for pod in self.all(Pod):
                if pod.metadata.deletionTimestamp:
                    self.client.remove(Pod, pod.metadata.name, pod.metadata.namespace)
            await self.make_ready()
            await self.settle(0.2)
            if len(self.client.actions) == before:
                return
        raise AssertionError("the world does not come to rest")


def _is_ready(pod: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
