"""Which taints a pod tolerates (API reference, `Toleration`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api.placement import tolerates
from kybern.scheduler.nodeinfo import Taint

__all__ = ["HARD", "first_untolerated", "tolerates"]

HARD = ("NoSchedule", "NoExecute")
"""Effects that keep a pod off a node."""


def first_untolerated(
    tolerations: Sequence[Any] | None, taints: Iterable[Taint], effects: Sequence[str] = HARD
) -> Taint | None:
    """The first taint with one of these effects that no toleration covers."""
    for taint in taints:
        if taint.effect in effects and not any(tolerates(t, taint) for t in tolerations or ()):
            return taint
    return None
