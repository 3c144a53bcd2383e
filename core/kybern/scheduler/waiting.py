"""Pods held at `permit`: decided upon, their room taken, but not bound until every policy lets them go."""

from __future__ import annotations

import asyncio

from kybern.clock import Clock

__all__ = ["Rejected", "WaitingPods"]

MAX_WAIT = 15 * 60.0


class Rejected(Exception):
    """A policy turned a waiting pod down, or its time ran out."""

    def __init__(self, policy: str, message: str) -> None:
        super().__init__(message)
        self.policy = policy


class WaitingPods:
    """Who waits for whom."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waits: dict[str, dict[str, asyncio.Future[None]]] = {}

    def hold(self, uid: str, policies: dict[str, float]) -> None:
        """Hold a pod until these policies (with the seconds they may take) allow it."""
        loop = asyncio.get_running_loop()
        self._waits[uid] = {name: loop.create_future() for name in policies}

    async def wait(self, uid: str, policies: dict[str, float]) -> None:
        """Return once all have allowed the pod; Rejected otherwise."""
        waits = self._waits[uid]
        start = self._clock.monotonic()
        try:
            for name, timeout in sorted(policies.items(), key=lambda item: item[1]):
                left = max(0.0, min(timeout, MAX_WAIT) - (self._clock.monotonic() - start))
                await self._one(name, waits[name], left)
        finally:
            del self._waits[uid]
            for future in waits.values():
                if future.done() and not future.cancelled():
                    future.exception()

    async def _one(self, name: str, future: asyncio.Future[None], timeout: float) -> None:
        try:
            await self._clock.wait_for(asyncio.shield(future), timeout)
        except TimeoutError:
            text = f'rejected due to timeout after waiting {timeout:g}s at plugin "{name}"'
            raise Rejected(name, text) from None

    def allow(self, uid: str, policy: str) -> bool:
        """The policy has no more objection."""
        future = self._waits.get(uid, {}).get(policy)
        if future is None:
            return False
        if not future.done():
            future.set_result(None)
        return True

    def reject(self, uid: str, policy: str, message: str) -> bool:
        """Turn the pod down at once, whichever policy it waits for."""
        waits = self._waits.get(uid)
        if waits is None:
            return False
        for future in waits.values():
            if not future.done():
                future.set_exception(Rejected(policy, message))
        return True
