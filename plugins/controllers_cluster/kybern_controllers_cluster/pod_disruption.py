"""Ends a pod for a reason that it will bear: the condition DisruptionTarget says why to whoever counts failures."""

from __future__ import annotations

from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.pods import pod_condition

__all__ = ["end_pod", "mark"]


def mark(pod: Any, reason: str, message: str, now: float) -> Any:
    """A copy of the pod with the condition."""
    from kybern.api.core import PodCondition

    changed = types.copy(pod)
    known = pod_condition(pod, "DisruptionTarget")
    target = PodCondition(
        type="DisruptionTarget",
        status="True",
        reason=reason,
        message=message,
        lastTransitionTime=known.lastTransitionTime if known and known.status == "True" else format_time(now),
        observedGeneration=pod.metadata.generation,
    )
    others = [c for c in pod.status.conditions or () if c.type != "DisruptionTarget"]
    changed.status.conditions = [*others, target]
    return changed


async def end_pod(client: Client, clock: Clock, pod: Any, reason: str, message: str) -> None:
    """Write the condition, then delete the pod; one that is gone already is no error."""
    metadata = pod.metadata
    try:
        await client.update_status(mark(pod, reason, message, clock.now()))
        await client.delete(type(pod), metadata.name, metadata.namespace, uid=metadata.uid)
    except StatusError as error:
        if error.code != 404:
            raise
