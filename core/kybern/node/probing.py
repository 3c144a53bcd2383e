"""Probes over time: when each is due, and what a row of results amounts to.

One `ProbeLoop` per running container and kind of probe. It sleeps on the clock's timer, so that
thousands of them cost no tasks while they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from kybern.clock import Clock, Timer
from kybern.node.probe import Prober, ProbeResult, Target

__all__ = ["KINDS", "ProbeLoop", "probe_of"]

KINDS = ("startup", "liveness", "readiness")


def probe_of(container: Any, kind: str) -> Any:
    """The container's probe of that kind, or None."""
    return getattr(container, kind + "Probe", None)


class ProbeLoop:
    """Judges one container by one probe until it is stopped."""

    __slots__ = (
        "_clock", "_decided", "_failures", "_may_run", "_prober", "_report", "_spawn", "_stopped",
        "_successes", "_timer", "container", "kind", "probe", "target",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        target: Target,
        prober: Prober,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        may_run: Callable[[], bool],
        report: Callable[[ProbeLoop, ProbeResult, bool | None], None],
    ) -> None:
        """`may_run`: liveness and readiness wait for startup. `report(loop, result, verdict)` hears every result;
        verdict is None until a threshold is reached."""
        self.kind = kind
        self.target = target
        self.probe = probe_of(target.container, kind)
        self._prober = prober
        self._clock = clock
        self._spawn = spawn
        self._may_run = may_run
        self._report = report
        self._successes = self._failures = 0
        self._decided: bool | None = None
        self._stopped = False
        age = clock.now() - target.status.started_at
        delay = max(0.0, float(self.probe.initialDelaySeconds or 0) - age)
        self._timer: Timer = clock.call_later(delay, self._due)

    def stop(self) -> None:
        """No more results."""
        self._stopped = True
        self._timer.cancel()

    def _due(self) -> None:
        if self._stopped:
            return
        if self._may_run():
            self._spawn(self._ask())
        else:
            self._again()

    def _again(self) -> None:
        self._timer = self._clock.call_later(float(self.probe.periodSeconds or 10), self._due)

    async def _ask(self) -> None:
        # The next one is due a period after this one began, however long it takes to answer.
        began = self._clock.monotonic()
        result = await self._prober.probe(self.kind, self.probe, self.target)
        if self._stopped:
            return
        self._report(self, result, self._judge(result.success))
        settled = self.kind == "startup" and self._decided is True
        if settled or (self.kind != "readiness" and self._decided is False):
            self.stop()
        if not self._stopped:
            left = float(self.probe.periodSeconds or 10) - (self._clock.monotonic() - began)
            self._timer = self._clock.call_later(max(left, 0.0), self._due)

    def _judge(self, success: bool) -> bool | None:
        """The verdict so far: it changes only when a threshold is reached."""
        if success:
            self._successes, self._failures = self._successes + 1, 0
            if self._successes >= (self.probe.successThreshold or 1):
                self._decided = True
        else:
            self._failures, self._successes = self._failures + 1, 0
            if self._failures >= (self.probe.failureThreshold or 3):
                self._decided = False
        return self._decided
