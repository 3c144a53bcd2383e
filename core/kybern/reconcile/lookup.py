"""Find an object that a decision depends on: in the shared informer, else by asking the server.

An object that was written a moment ago may not have reached the informer; a refusal because of that
would be wrong, so only the server's own "not found" counts.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.interface import Informer

K = TypeVar("K")

__all__ = ["Lookup"]


class Lookup(Generic[K]):
    """Objects of one kind."""

    def __init__(self, client: Client, informer: Informer[Any] | None, kind: type[K]) -> None:
        """Without an informer the server is asked every time: for kinds that are rarely needed."""
        self._client = client
        self._informer = informer
        self._kind = kind
        self._waiting: dict[tuple[str, str], list[asyncio.Future[None]]] = {}
        self._listening = False

    async def get(self, name: str, namespace: str = "") -> K | None:
        """The object, perhaps not the very newest state of it; None when there is none."""
        known: K | None = self._informer.get(name, namespace) if self._informer is not None else None
        return known if known is not None else await self.fresh(name, namespace)

    async def awaited(self, name: str, namespace: str, clock: Clock, seconds: float) -> K | None:
        """The object, waited for when it is not there yet; None when it does not come within `seconds`."""
        found = await self.get(name, namespace)
        if found is not None or self._informer is None:
            return found
        if not self._listening:
            self._listening = True
            self._informer.on_change(self._changed)
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault((namespace, name), [])
        waiters.append(waiter)
        try:
            if self._informer.get(name, namespace) is None:
                await clock.wait_for(waiter, seconds)
        except TimeoutError:
            pass
        finally:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[namespace, name]
        return await self.get(name, namespace)

    def _changed(self, old: Any | None, new: Any | None) -> None:
        if new is None or not self._waiting:
            return
        for waiter in self._waiting.get((new.metadata.namespace or "", new.metadata.name), ()):
            if not waiter.done():
                waiter.set_result(None)

    async def fresh(self, name: str, namespace: str = "") -> K | None:
        """The object as the server has it now."""
        try:
            return await self._client.get(self._kind, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    def list(self) -> list[K]:
        """All that the informer knows."""
        return self._informer.list() if self._informer is not None else []
