"""Growing delays per key, as the kubelet waits before it restarts a container or pulls an image again."""

from __future__ import annotations

from typing import Any

__all__ = ["Backoff"]


class Backoff:
    """The first wait is `initial`, each next one doubles up to `longest`; a key quiet for twice that starts anew."""

    __slots__ = ("_delays", "initial", "longest")

    def __init__(self, initial: float, longest: float) -> None:
        self.initial = initial
        self.longest = longest
        self._delays: dict[Any, tuple[float, float]] = {}

    def delay(self, key: Any) -> float:
        """The wait in force for a key; 0 when none is."""
        return self._delays.get(key, (0.0, 0.0))[0]

    def last(self, key: Any) -> float:
        """When the last attempt of a key began; 0 when none is remembered."""
        return self._delays.get(key, (0.0, 0.0))[1]

    def remaining(self, key: Any, since: float, now: float) -> float:
        """Seconds left to wait after a failure at `since`."""
        entry = self._delays.get(key)
        if entry is None or since - entry[1] > 2 * self.longest:
            return 0.0
        return max(0.0, since + entry[0] - now)

    def next(self, key: Any, since: float, now: float) -> None:
        """An attempt begins now, after a failure at `since`: the next wait is longer."""
        entry = self._delays.get(key)
        if entry is None or since - entry[1] > 2 * self.longest:
            self._delays[key] = (self.initial, now)
        else:
            self._delays[key] = (min(entry[0] * 2, self.longest), now)

    def forget(self, key: Any) -> None:
        """It went well, or the key is gone."""
        self._delays.pop(key, None)
