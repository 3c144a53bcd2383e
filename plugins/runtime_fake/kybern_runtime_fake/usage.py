"""What fake containers use: `cpu` and `memory` of their behaviour, as functions of time.

Beside age and time an expression may use `peers`, the number of running pods of its kind (same
namespace and labels) on the nodes of this process. `2 / peers` is a load of two cores that the
replicas share, which is what an autoscaler needs to come to rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kybern.curve import Curve, CurveError, curve
from kybern.node.runtime import PodUsage
from kybern_runtime_fake.journal import ContainerRecord, Journal, SandboxRecord, is_running

if TYPE_CHECKING:
    from kybern.clock import Clock

__all__ = ["CPU", "MEMORY", "Peers", "check_usage", "pod_usage"]

CPU, MEMORY = "1m", "8Mi"
"""What a container uses that says nothing about it."""
_VARIABLES = frozenset({"peers"})
_OWN_LABELS = frozenset({
    "apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index", "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
})  # fmt: skip
"""Labels in which pods of one kind differ; the runtime's own (io.kubernetes.*) are another."""


def check_usage(where: str, text: str) -> None:
    """ValueError, with the place, when a text is neither quantity nor curve."""
    try:
        curve(text, _VARIABLES)
    except CurveError as error:
        raise ValueError(f"{where}: {error}") from None


def _curve(text: object, usual: str) -> Curve:
    try:
        return curve(str(text), _VARIABLES)
    except CurveError:  # a record of a version with other words
        return curve(usual)


class Peers:
    """Counts the running pods of one kind; counted anew when time has passed or something changed."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal

    def count(self, sandbox: SandboxRecord) -> int:
        """Running pods like this one, itself included."""
        now, journal = self._clock.now(), self._journal
        if journal.counted != (now, journal.changes):
            journal.counted = (now, journal.changes)
            journal.peers = _count(journal, now)
        return max(1, journal.peers[_kind(sandbox)])


def _count(journal: Journal, now: float) -> Counter[tuple[object, ...]]:
    running = {r.sandbox_id for r in journal.records if isinstance(r, ContainerRecord) and is_running(r, now)}
    return Counter(_kind(r) for r in journal.records if isinstance(r, SandboxRecord) and r.id in running)


def _kind(sandbox: SandboxRecord) -> tuple[object, ...]:
    labels = [
        item for item in sandbox.labels.items() if item[0] not in _OWN_LABELS and "io.kubernetes.pod" not in item[0]
    ]
    return (sandbox.namespace, *sorted(labels)) if labels else (sandbox.namespace, sandbox.name)


def pod_usage(sandbox: SandboxRecord, running: Mapping[str, ContainerRecord], now: float, peers: Peers) -> PodUsage:
    """What the running containers of a pod use at a time."""
    used = {}
    for name, record in running.items():
        cpu = _curve(record.behaviour.get("cpu", CPU), CPU)
        memory = _curve(record.behaviour.get("memory", MEMORY), MEMORY)
        values = {"t": now - record.started_at, "now": now}
        if "peers" in cpu.names or "peers" in memory.names:
            values["peers"] = float(peers.count(sandbox))
        used[name] = (round(cpu.at(values) * 1000), round(memory.at(values)))
    return PodUsage(sandbox.uid, sandbox.name, sandbox.namespace, used)
