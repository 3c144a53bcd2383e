"""Checks what ties a pod to the host's operating system: OS fields, host processes, user namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern.api.field import Errors, Path

__all__ = ["validate_host_process", "validate_host_users", "validate_os"]

SYSTEMS = ("linux", "windows")
LINUX_ONLY = "cannot be set for a windows pod"
WINDOWS_ONLY = "windows options cannot be set for a linux pod"
_POD_LINUX_ONLY = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
    "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
)  # fmt: skip
_CONTAINER_LINUX_ONLY = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip
HOST_PROCESS_MIXED = "If pod contains any hostProcess containers then all containers must be HostProcess containers"


def _all_containers(path: Path, spec: Any) -> Iterator[tuple[Path, Any]]:
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for i, container in enumerate(getattr(spec, field) or ()):
            yield path.child(field).index(i), container


def validate_os(errors: Errors, path: Path, spec: Any) -> None:
    """The OS a pod names, and that it uses no feature of the other one."""
    at = path.child("os")
    if not spec.os.name:
        errors.required(at.child("name"), "cannot be empty")
    elif spec.os.name not in SYSTEMS:
        errors.not_supported(at, spec.os.name, SYSTEMS)
    elif spec.os.name == "linux":
        _validate_linux(errors, path, spec)
    else:
        _validate_windows(errors, path, spec)


def _validate_linux(errors: Errors, path: Path, spec: Any) -> None:
    if spec.securityContext is not None and spec.securityContext.windowsOptions is not None:
        errors.forbidden(path.child("securityContext", "windowsOptions"), WINDOWS_ONLY)
    for at, container in _all_containers(path, spec):
        if container.securityContext is not None and container.securityContext.windowsOptions is not None:
            errors.forbidden(at.child("securityContext", "windowsOptions"), WINDOWS_ONLY)


def _validate_windows(errors: Errors, path: Path, spec: Any) -> None:
    for field in ("hostPID", "hostIPC"):
        if getattr(spec, field):
            errors.forbidden(path.child(field), LINUX_ONLY)
    if spec.hostUsers is not None:
        errors.forbidden(path.child("hostUsers"), LINUX_ONLY)
    if spec.shareProcessNamespace is not None:
        errors.forbidden(path.child("shareProcessNamespace"), LINUX_ONLY)
    _forbid(errors, path.child("securityContext"), spec.securityContext, _POD_LINUX_ONLY)
    for at, container in _all_containers(path, spec):
        _forbid(errors, at.child("securityContext"), container.securityContext, _CONTAINER_LINUX_ONLY)


def _forbid(errors: Errors, path: Path, security: Any | None, fields: tuple[str, ...]) -> None:
    for field in fields if security is not None else ():
        if getattr(security, field) is not None:
            errors.forbidden(path.child(field), LINUX_ONLY)


def _host_process(security: Any | None) -> bool | None:
    options = security.windowsOptions if security is not None else None
    return options.hostProcess if options is not None else None


def _any_host_process(spec: Any) -> bool:
    fields = (spec.containers, spec.initContainers, spec.ephemeralContainers)
    return any(_host_process(container.securityContext) for found in fields if found for container in found)


def validate_host_process(errors: Errors, path: Path, spec: Any) -> None:
    """Windows host processes: all containers or none, and only on the host's network."""
    pod = _host_process(spec.securityContext)
    if not pod and not _any_host_process(spec):
        return
    for at, container in _all_containers(path, spec):
        mine = _host_process(container.securityContext)
        field = at.child("securityContext", "windowsOptions", "hostProcess")
        if pod is not None and mine is not None and pod != mine:
            shown = str(pod).lower()
            errors.invalid(field, mine, f"pod hostProcess value must be identical if both are specified, was {shown}")
        if pod is None and not mine:
            errors.invalid(at, "", HOST_PROCESS_MIXED)
    if not spec.hostNetwork:
        errors.invalid(
            path.child("hostNetwork"), False, "hostNetwork must be true if pod contains any hostProcess containers"
        )


def validate_host_users(errors: Errors, path: Path, spec: Any) -> None:
    """A pod with its own user namespace (hostUsers false) may not share the host's others, nor use raw devices."""
    for i, container in enumerate(spec.containers or ()):
        if container.volumeDevices:
            at = path.child("containers").index(i).child("volumeDevices")
            errors.forbidden(at, "when `hostUsers` is false")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if getattr(spec, field):
            errors.forbidden(path.child(field), "when `hostUsers` is false")
