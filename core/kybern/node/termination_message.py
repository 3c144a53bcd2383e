"""Termination messages for containers that ask for the end of their log when they fail without one."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.node.pod_runtime import PodRuntime
from kybern.node.runtime import ContainerState, ContainerStatus, Runtime

__all__ = ["with_log_messages"]

_LINES = 80
_BYTES = 2048


async def with_log_messages(runtime: Runtime, pod: Any, known: PodRuntime, before: PodRuntime) -> PodRuntime:
    """`known`, with the log's end as message of the failed containers that want it. What `before` found stays."""
    asking = {
        c.name
        for c in [*pod.spec.containers, *(pod.spec.initContainers or ())]
        if c.terminationMessagePolicy == "FallbackToLogsOnError"
    }
    if not asking:
        return known
    found = {c.id: c.message for c in before.containers}
    containers = []
    for status in known.containers:
        if status.name in asking and _failed_silently(status):
            message = found.get(status.id) or await _log_end(runtime, status)
            status = attrs.evolve(status, message=message)
        containers.append(status)
    return PodRuntime(known.sandboxes, containers)


def _failed_silently(status: ContainerStatus) -> bool:
    return status.state is ContainerState.EXITED and status.exit_code != 0 and not status.message


async def _log_end(runtime: Runtime, status: ContainerStatus) -> str:
    lines = [line.text async for line in await runtime.container_logs(status.id)]
    return (b"\n".join(lines[-_LINES:]) + b"\n")[-_BYTES:].decode("utf-8", "replace") if lines else ""
