"""What every controller of pods must know: is a pod ready, available, gone; which to delete first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from kybern.api.time import parse_time
from kybern.reconcile.owners import controller_of, controller_reference

__all__ = [
    "deletion_order", "is_active", "is_available", "is_finished", "is_ready", "is_terminating", "owner_index",
    "pod_condition", "pod_from_template", "ready_since",
]  # fmt: skip

_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def pod_condition(pod: Any, type: str) -> Any | None:
    """The pod's condition of a type, or None."""
    for condition in pod.status.conditions or ():
        if condition.type == type:
            return condition
    return None


def is_ready(pod: Any) -> bool:
    """Whether the pod's Ready condition is True."""
    for condition in pod.status.conditions or ():
        if condition.type == "Ready":
            return bool(condition.status == "True")
    return False


def ready_since(pod: Any) -> float | None:
    """When the pod became ready, None when it is not."""
    condition = pod_condition(pod, "Ready")
    if condition is None or condition.status != "True":
        return None
    return parse_time(condition.lastTransitionTime) if condition.lastTransitionTime else 0.0


def is_available(pod: Any, min_ready_seconds: int, now: float) -> bool:
    """Whether the pod has been ready for long enough."""
    since = ready_since(pod)
    return since is not None and (not min_ready_seconds or since + min_ready_seconds <= now)


def is_finished(pod: Any) -> bool:
    """Whether its containers have all ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Any) -> bool:
    """Whether the pod counts for its controller: neither finished nor being deleted."""
    return not pod.metadata.deletionTimestamp and not is_finished(pod)


def is_terminating(pod: Any) -> bool:
    """Whether the pod is being deleted and its containers may still run."""
    return bool(pod.metadata.deletionTimestamp) and not is_finished(pod)


def owner_index(obj: Any) -> Iterable[str]:
    """Index values: the controller's uid, or `orphans/<namespace>` for an object without controller."""
    reference = controller_of(obj)
    return (reference.uid if reference is not None else f"orphans/{obj.metadata.namespace}",)


def pod_from_template(owner: Any, template: Any) -> Any:
    """A pod as the owner's template wants it, controlled by the owner, its name left to the server."""
    from kybern.api.core import Pod
    from kybern.api.meta import ObjectMeta

    metadata = template.metadata
    return Pod(
        metadata=ObjectMeta(
            generateName=f"{owner.metadata.name}-",
            namespace=owner.metadata.namespace,
            labels=dict(metadata.labels or {}) or None,
            annotations=dict(metadata.annotations or {}) or None,
            finalizers=list(metadata.finalizers or ()) or None,
            ownerReferences=[controller_reference(owner)],
        ),
        spec=template.spec,
    )


def deletion_order(pods: Iterable[Any], neighbours: Iterable[Any], now: float) -> list[Any]:
    """The pods, the one to delete first in front.

    Upstream's order: without a node, pending, not ready, cheap by annotation, on a node with many
    `neighbours` (pods of the same kin), ready for a short time, often restarted, young. Times are compared by
    their logarithm, so that among old pods the choice falls by uid, that is by chance.
    """
    crowd = Counter(pod.spec.nodeName for pod in neighbours if is_active(pod) and pod.spec.nodeName)
    return sorted(pods, key=_deletion_key(crowd, now))


def _deletion_key(crowd: Counter[str], now: float) -> Callable[[Any], tuple[Any, ...]]:
    def key(pod: Any) -> tuple[Any, ...]:
        since = ready_since(pod)
        created = pod.metadata.creationTimestamp
        return (
            bool(pod.spec.nodeName),
            _PHASE_RANK.get(pod.status.phase or "", -1),
            since is not None,
            _deletion_cost(pod),
            -crowd[pod.spec.nodeName] if pod.spec.nodeName else 0,
            _log_age(since, now) if since else -1,
            -_restarts(pod),
            _log_age(parse_time(created), now) if created else -1,
            pod.metadata.uid or "",
        )

    return key


def _deletion_cost(pod: Any) -> int:
    text = (pod.metadata.annotations or {}).get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def _log_age(time: float, now: float) -> int:
    nanoseconds = (now - time) * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds >= 1 else -1


def _restarts(pod: Any) -> int:
    return max((status.restartCount or 0 for status in pod.status.containerStatuses or ()), default=0)
