"""ConfigMaps and Secrets that pods refer to, read when a container needs them.

Where the agent shares its process with controllers, their caches answer and only what these do not
know is asked for. An agent of its own asks for each object by name, so that it needs no right to
more than its pods' objects; a burst of pods that need the same one costs one request then, because
an answer serves everyone who asks within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.interface import Informer

K = TypeVar("K")

__all__ = ["Sources"]

_FRESH = 1.0
_MANY = 10_000


class Sources:
    """Reads objects by name through a very short-lived cache."""

    def __init__(
        self, client: Client, clock: Clock, shared: Callable[[type[Any]], Informer[Any]] | None = None
    ) -> None:
        """`shared`: kind -> the process's informer of it."""
        self._client = client
        self._shared = shared
        self._clock = clock
        self._known: dict[tuple[type[Any], str, str], tuple[float, Any]] = {}
        self._asking: dict[tuple[type[Any], str, str], asyncio.Future[Any]] = {}

    async def get(self, kind: type[K], namespace: str, name: str, max_age: float = _FRESH) -> K | None:
        """The object as it was at most `max_age` seconds ago, or None when there is none. Other refusals are raised."""
        if self._shared is not None:
            cached: K | None = self._shared(kind).get(name, namespace)
            if cached is not None:
                return cached
        key = (kind, namespace, name)
        known = self._known.get(key)
        if known is not None and self._clock.monotonic() - known[0] < max_age:
            found: K | None = known[1]
            return found
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(self._ask(key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        answer: K | None = await asyncio.shield(asking)
        return answer

    async def _ask(self, key: tuple[type[Any], str, str]) -> Any:
        kind, namespace, name = key
        try:
            found = await self._client.get(kind, name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            return None
        if len(self._known) > _MANY:
            self._known.clear()
        self._known[key] = (self._clock.monotonic(), found)
        return found

    def close(self) -> None:
        """Stop asking."""
        for asking in list(self._asking.values()):
            asking.cancel()
