"""How a fake container's record reads: its state as CRI values, when it ends, what it writes. Pure."""

from __future__ import annotations

from typing import Any

from kybern.node.runtime import ContainerState, ContainerStatus, PodSandbox, SandboxState
from kybern_runtime_fake.journal import ContainerRecord, SandboxRecord, is_running
from kybern_runtime_fake.script import Script

__all__ = ["KEPT", "end_of", "log_script", "sandbox_of", "state_of", "status_of"]

KEPT = (
    "start_error",
    "start_delay",
    "stop_delay",
    "stop_exit_code",
    "termination_message",
    "readiness",
    "liveness",
    "startup",
    "post_start_error",
    "post_start_delay",
    "pre_stop_error",
    "pre_stop_delay",
    "exit_code",
    "exit_after",
    "crash_after",
    "oom_after",
    "exits",
    "logs",
    "log_line",
    "log_every",
    "cpu",
    "memory",
)
"""What of a behaviour matters after the container was made."""


def state_of(record: ContainerRecord, now: float) -> ContainerState:
    """Whether it runs, has not begun, or has ended."""
    if is_running(record, now):
        return ContainerState.RUNNING
    return ContainerState.EXITED if record.finished or record.started_at else ContainerState.CREATED


def status_of(record: ContainerRecord, state: ContainerState) -> ContainerStatus:
    """All about a container."""
    exited = state is ContainerState.EXITED
    reason = record.reason or ("Completed" if record.exit_code == 0 else "Error")
    message = record.message or str(record.behaviour.get("termination_message", ""))
    return ContainerStatus(
        id=record.id,
        sandbox_id=record.sandbox_id,
        name=record.name,
        attempt=record.attempt,
        state=state,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=(record.exit_at or 0.0) if exited else 0.0,
        exit_code=record.exit_code if exited else 0,
        reason=reason if exited else "",
        message=message if exited else "",
        image=record.image,
        image_ref=record.image_ref,
        labels=record.labels,
        annotations=record.annotations,
        log_path=record.log_path,
        resources=record.resources,
    )


def sandbox_of(record: SandboxRecord) -> PodSandbox:
    return PodSandbox(
        record.id,
        record.name,
        record.namespace,
        record.uid,
        record.attempt,
        SandboxState.READY if record.ready else SandboxState.NOTREADY,
        record.created_at,
        record.ips,
        record.labels,
        record.annotations,
        record.runtime_handler,
    )


def end_of(record: ContainerRecord) -> tuple[float | None, int, str]:
    """(seconds until it exits by itself, exit code, reason) of a container that starts now."""
    said: Any = record.behaviour
    if "exits" in said:
        codes = [part.strip() for part in said["exits"].split(",")]
        code = codes[min(record.attempt, len(codes) - 1)]
        return (None, 0, "") if code == "-" else (said.get("exit_after", 0.0), int(code), "")
    if "oom_after" in said:
        return said["oom_after"], 137, "OOMKilled"
    if "crash_after" in said:
        return said["crash_after"], said.get("exit_code", 1), ""
    if "exit_code" in said or "exit_after" in said:
        return said.get("exit_after", 0.0), said.get("exit_code", 0), ""
    script = record.script
    if script is None or script.ends_at is None:
        return None, 0, ""
    return script.ends_at, script.exit_code, ""


def log_script(record: ContainerRecord) -> Script:
    """What the container writes."""
    said: Any = record.behaviour
    if "log_line" in said:
        every = said.get("log_every", 1.0)
        return Script(loop_every=max(every, 0.01), loop_lines=((0.0, said["log_line"]),))
    if "logs" in said:
        return Script(lines=tuple((0.0, line) for line in said["logs"].splitlines()))
    if record.script is not None:
        return record.script
    return Script(lines=((0.0, f"{record.image} is running (simulated)"),))
