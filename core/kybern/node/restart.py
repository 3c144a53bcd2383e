"""Whether a container that ended is started again: the pod's restart policy, the container's own, and its rules."""

from __future__ import annotations

from typing import Any

from kybern.node.runtime import ContainerState, ContainerStatus

__all__ = ["is_sidecar", "restarts_after", "should_start"]


def is_sidecar(container: Any) -> bool:
    """Of an init container: whether it keeps running beside the main containers (KEP-753)."""
    return bool(container.restartPolicy == "Always")


def restarts_after(pod: Any, container: Any, exit_code: int) -> bool:
    """Whether an exit with this code leads to another start (KEP-5307 for rules and container policies)."""
    for rule in container.restartPolicyRules or ():
        if rule.action == "Restart" and _matches(rule.exitCodes, exit_code):
            return True
    policy = container.restartPolicy or pod.spec.restartPolicy or "Always"
    if policy == "OnFailure":
        return exit_code != 0
    return bool(policy == "Always")


def _matches(exit_codes: Any, exit_code: int) -> bool:
    if exit_codes is None:
        return False
    listed = exit_code in (exit_codes.values or ())
    return listed if exit_codes.operator == "In" else not listed


def should_start(pod: Any, container: Any, latest: ContainerStatus | None) -> bool:
    """Whether the container, whose newest instance is `latest`, is to be started (again)."""
    if pod.metadata.deletionTimestamp:
        return False
    if latest is None or latest.state in (ContainerState.CREATED, ContainerState.UNKNOWN):
        return True
    if latest.state is ContainerState.RUNNING:
        return False
    return restarts_after(pod, container, latest.exit_code)
