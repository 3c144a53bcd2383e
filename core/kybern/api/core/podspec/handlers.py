"""Checks probes and lifecycle hooks: what a kubelet calls in or at a container."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names, ports

__all__ = ["NEEDS_HANDLER", "validate_lifecycle", "validate_probes"]

SCHEMES = ("HTTP", "HTTPS")
NEEDS_HANDLER = "must specify a handler type"
ONE_HANDLER = "may not specify more than 1 handler type"
NOT_NEGATIVE = "must be greater than or equal to 0"


def validate_probes(errors: Errors, path: Path, container: Any, grace_seconds: int) -> None:
    """Liveness, readiness and startup probe of one container."""
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = getattr(container, field)
        if probe is None:
            continue
        at = path.child(field)
        _validate_probe(errors, at, probe, grace_seconds)
        if field != "readinessProbe":
            _needs_one_success(errors, at, probe)
        elif probe.terminationGracePeriodSeconds is not None:
            text = "must not be set for readinessProbes"
            errors.invalid(at.child("terminationGracePeriodSeconds"), probe.terminationGracePeriodSeconds, text)


def _needs_one_success(errors: Errors, path: Path, probe: Any) -> None:
    if probe.successThreshold != 1:
        errors.invalid(path.child("successThreshold"), probe.successThreshold or 0, "must be 1")


def _validate_probe(errors: Errors, path: Path, probe: Any, grace_seconds: int) -> None:
    _validate_handler(errors, path, probe, ("exec", "httpGet", "tcpSocket", "grpc"), grace_seconds)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        value = getattr(probe, field) or 0
        if value < 0:
            errors.invalid(path.child(field), value, NOT_NEGATIVE)
    grace = probe.terminationGracePeriodSeconds
    if grace is not None and grace <= 0:
        errors.invalid(path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0")


def validate_lifecycle(errors: Errors, path: Path, lifecycle: Any, grace_seconds: int, os: str) -> None:
    """A container's lifecycle hooks and stop signal."""
    for field in ("postStart", "preStop"):
        handler = getattr(lifecycle, field)
        if handler is not None:
            _validate_handler(
                errors, path.child(field), handler, ("exec", "httpGet", "tcpSocket", "sleep"), grace_seconds
            )
    if lifecycle.stopSignal is not None:
        _validate_stop_signal(errors, path.child("stopSignal"), lifecycle.stopSignal, os)


def _validate_handler(errors: Errors, path: Path, handler: Any, kinds: tuple[str, ...], grace_seconds: int) -> None:
    found = False
    for kind in kinds:
        action = getattr(handler, kind)
        if action is None:
            continue
        if found:
            errors.forbidden(path.child(kind), ONE_HANDLER)
            continue
        found = True
        if kind == "sleep":
            _validate_sleep(errors, path.child(kind), action, grace_seconds)
        else:
            _ACTIONS[kind](errors, path.child(kind), action)
    if not found:
        errors.required(path, NEEDS_HANDLER)


def _validate_exec(errors: Errors, path: Path, action: Any) -> None:
    if not action.command:
        errors.required(path.child("command"))


def _validate_http(errors: Errors, path: Path, action: Any) -> None:
    if not action.path:
        errors.required(path.child("path"))
    ports.validate_port_or_name(errors, path.child("port"), action.port)
    if action.scheme not in SCHEMES:
        errors.not_supported(path.child("scheme"), action.scheme or "", SCHEMES)
    for header in action.httpHeaders or ():
        names.add_all(errors, path.child("httpHeaders"), header.name, names.http_header_name(header.name))


def _validate_tcp(errors: Errors, path: Path, action: Any) -> None:
    ports.validate_port_or_name(errors, path.child("port"), action.port)


def _validate_grpc(errors: Errors, path: Path, action: Any) -> None:
    ports.validate_port_number(errors, path.child("port"), action.port)


_ACTIONS = {"exec": _validate_exec, "httpGet": _validate_http, "tcpSocket": _validate_tcp, "grpc": _validate_grpc}


def _validate_sleep(errors: Errors, path: Path, action: Any, grace_seconds: int) -> None:
    if not 0 <= action.seconds <= grace_seconds:
        limit = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
        errors.invalid(path, action.seconds, limit)


def _validate_stop_signal(errors: Errors, path: Path, signal: str, os: str) -> None:
    if not os:
        errors.forbidden(path, "may not be set for containers with empty `spec.os.name`")
    elif os == "windows":
        if signal not in ("SIGKILL", "SIGTERM"):
            errors.not_supported(path, signal, ("SIGKILL", "SIGTERM"))
    elif signal not in LINUX_SIGNALS:
        errors.not_supported(path, signal, sorted(LINUX_SIGNALS))


_SIGNAL_NAMES = """
    ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM
    TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX
"""
LINUX_SIGNALS = frozenset(
    [f"SIG{name}" for name in _SIGNAL_NAMES.split()]
    + [f"SIGRTMIN+{n}" for n in range(1, 16)]
    + [f"SIGRTMAX-{n}" for n in range(1, 15)]
)
