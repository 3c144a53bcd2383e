"""What a Deployment's status says: the counts, and the conditions Available, Progressing and ReplicaFailure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.apps import DeploymentCondition
from kybern.api.time import format_time, parse_time
from kybern_controllers_workloads.deployment_scaling import limits, replicas_of, total

__all__ = [
    "condition", "counted", "has_deadline", "is_complete", "pause_condition", "rollout_status", "seconds_to_deadline",
    "set_condition",
]  # fmt: skip

NO_DEADLINE = 2**31 - 1
AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"


def has_deadline(deployment: Any) -> bool:
    """Whether a rollout may be called failed for its slowness."""
    deadline = deployment.spec.progressDeadlineSeconds
    return deadline is not None and deadline != NO_DEADLINE


def condition(status: Any, type: str) -> Any | None:
    """The condition of a type, or None."""
    return next((c for c in status.conditions or () if c.type == type), None)


def set_condition(status: Any, type: str, value: str, reason: str, message: str, now: float) -> None:
    """Set a condition; the same status and reason change nothing, the same status keeps its time."""
    current = condition(status, type)
    if current is not None and current.status == value and current.reason == reason:
        return
    text = format_time(now)
    since = current.lastTransitionTime if current is not None and current.status == value else text
    made = DeploymentCondition(
        type=type, status=value, reason=reason, message=message, lastUpdateTime=text, lastTransitionTime=since
    )
    _drop(status, type)
    status.conditions = [*(status.conditions or ()), made]


def _drop(status: Any, type: str) -> None:
    status.conditions = [c for c in status.conditions or () if c.type != type] or None


def counted(deployment: Any, new: Any | None, replica_sets: Sequence[Any], now: float) -> Any:
    """A new status with the counts and the Available condition."""
    status = types.copy(deployment.status)
    statuses = [rs.status for rs in replica_sets]
    available = sum(s.availableReplicas or 0 for s in statuses)
    status.observedGeneration = deployment.metadata.generation
    status.replicas = sum(s.replicas or 0 for s in statuses) or None
    status.updatedReplicas = (new.status.replicas or None) if new is not None else None
    status.readyReplicas = sum(s.readyReplicas or 0 for s in statuses) or None
    status.availableReplicas = available or None
    status.unavailableReplicas = max(0, total(replica_sets) - available) or None
    terminating = [s.terminatingReplicas for s in statuses]
    status.terminatingReplicas = sum(terminating) if None not in terminating else None
    if available >= replicas_of(deployment) - limits(deployment).unavailable:
        text = "Deployment has minimum availability."
        set_condition(status, "Available", "True", "MinimumReplicasAvailable", text, now)
    else:
        text = "Deployment does not have minimum availability."
        set_condition(status, "Available", "False", "MinimumReplicasUnavailable", text, now)
    return status


def is_complete(deployment: Any, status: Any) -> bool:
    """Whether all pods are of the new template and available, and no old one is left."""
    desired = replicas_of(deployment)
    counts = (status.updatedReplicas, status.replicas, status.availableReplicas)
    seen = (status.observedGeneration or 0) >= (deployment.metadata.generation or 0)
    return seen and all((count or 0) == desired for count in counts)


def rollout_status(deployment: Any, new: Any | None, replica_sets: Sequence[Any], now: float) -> Any:
    """The status in the course of a rollout: counts, progress, failures."""
    status = counted(deployment, new, replica_sets, now)
    current = condition(deployment.status, "Progressing")
    done = (
        (status.replicas or 0) == (status.updatedReplicas or 0) and current is not None and current.reason == AVAILABLE
    )
    if not has_deadline(deployment):
        _drop(status, "Progressing")
    elif not done:
        _set_progress(deployment, status, new, current, now)
    _set_failure(status, new, replica_sets, now)
    return status


def _set_progress(deployment: Any, status: Any, new: Any | None, current: Any | None, now: float) -> None:
    name = f'Deployment "{deployment.metadata.name}"' if new is None else f'ReplicaSet "{new.metadata.name}"'
    if is_complete(deployment, status):
        set_condition(status, "Progressing", "True", AVAILABLE, f"{name} has successfully progressed.", now)
    elif _progressed(deployment.status, status):
        _drop(status, "Progressing")
        set_condition(status, "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.", now)
        if current is not None and current.status == "True":
            condition(status, "Progressing").lastTransitionTime = current.lastTransitionTime  # type: ignore[union-attr]
    elif _timed_out(deployment, status, now):
        set_condition(status, "Progressing", "False", TIMED_OUT, f"{name} has timed out progressing.", now)


def _progressed(old: Any, new: Any) -> bool:
    def stale(status: Any) -> int:
        return (status.replicas or 0) - (status.updatedReplicas or 0)

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return stale(new) < stale(old) or any((getattr(new, n) or 0) > (getattr(old, n) or 0) for n in grown)


def _timed_out(deployment: Any, status: Any, now: float) -> bool:
    current = condition(status, "Progressing")
    if current is None or current.reason == AVAILABLE:
        return False
    if current.reason == TIMED_OUT:
        return True
    return parse_time(current.lastUpdateTime) + deployment.spec.progressDeadlineSeconds < now


def seconds_to_deadline(deployment: Any, status: Any, now: float) -> float | None:
    """When to look again whether the rollout has stopped; None when it need not be looked at."""
    current = condition(status, "Progressing")
    if not has_deadline(deployment) or current is None or deployment.spec.paused:
        return None
    if is_complete(deployment, status) or current.reason in (TIMED_OUT, AVAILABLE):
        return None
    left = parse_time(current.lastUpdateTime) + float(deployment.spec.progressDeadlineSeconds) - now
    # Times are kept in whole seconds: one more makes sure that the deadline is over then.
    return max(left, 0.0) + 1.0


def _set_failure(status: Any, new: Any | None, replica_sets: Sequence[Any], now: float) -> None:
    others = [rs for rs in replica_sets if rs is not new]
    for rs in ([new] if new is not None else []) + others:
        failure = condition(rs.status, "ReplicaFailure")
        if failure is not None:
            set_condition(status, "ReplicaFailure", failure.status, failure.reason, failure.message, now)
            return
    _drop(status, "ReplicaFailure")


def pause_condition(deployment: Any) -> tuple[str, str] | None:
    """(reason, message) for Progressing when the Deployment was paused or resumed since the last look."""
    current = condition(deployment.status, "Progressing")
    if not has_deadline(deployment) or (current is not None and current.reason == TIMED_OUT):
        return None
    told = current is not None and current.reason == PAUSED
    if deployment.spec.paused and not told:
        return PAUSED, "Deployment is paused"
    if not deployment.spec.paused and told:
        return "DeploymentResumed", "Deployment is resumed"
    return None
