"""What a controller did and its cache has not shown yet.

A controller that created three pods must not look at a cache without them and create three more.
It notes here what it expects to see and does nothing for that key until the informer has shown it,
or until five minutes have passed (a lost event must not stop the controller for ever).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from kybern.clock import Clock
from kybern.reconcile.interface import Key

__all__ = ["Expectations"]

TIMEOUT = 300.0


@attrs.define
class _Expected:
    creations: int
    deletions: set[str]
    since: float


class Expectations:
    """Creations are counted, deletions are told apart by the object's uid."""

    def __init__(self, clock: Clock, timeout: float = TIMEOUT) -> None:
        self._clock = clock
        self._timeout = timeout
        self._expected: dict[Key, _Expected] = {}

    def expect(self, key: Key, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        """Note what is about to be done, before doing it. Replaces what was expected before."""
        expected = self._expected[key] = _Expected(creations, set(deletions), self._clock.monotonic())
        self._fulfilled(key, expected)

    def created(self, key: Key, count: int = 1) -> bool:
        """A creation was seen, or will never be (it failed). Whether it was the last thing expected."""
        expected = self._expected.get(key)
        if expected is None:
            return False
        expected.creations -= count
        return self._fulfilled(key, expected)

    def deleted(self, key: Key, uid: str) -> bool:
        """A deletion was seen, or will never be. Whether it was the last thing expected."""
        expected = self._expected.get(key)
        if expected is None:
            return False
        expected.deletions.discard(uid)
        return self._fulfilled(key, expected)

    def forget(self, key: Key) -> None:
        """The object itself is gone."""
        self._expected.pop(key, None)

    def _fulfilled(self, key: Key, expected: _Expected) -> bool:
        if expected.creations > 0 or expected.deletions:
            return False
        del self._expected[key]
        return True

    def wait(self, key: Key) -> float:
        """Seconds until the key may be acted upon at the latest; 0: now."""
        expected = self._expected.get(key)
        if expected is None:
            return 0.0
        return max(0.0, expected.since + self._timeout - self._clock.monotonic())
