"""Checks the security settings of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from kybern.api.core.podspec.mounts import validate_descending_path
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["validate_container_security", "validate_host_network", "validate_pod_security"]

ID_MAX = 2**31 - 1
ID_RANGE = f"must be between 0 and {ID_MAX}, inclusive"
PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
SYSCTL_MAX = 253
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL_PATTERN = rf"^({_SYSCTL_PART}[\./])*{_SYSCTL_PART}$"
_sysctl = re.compile(rf"({_SYSCTL_PART}[./])*{_SYSCTL_PART}").fullmatch
_HOST_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def _validate_ids(errors: Errors, path: Path, security: Any, *fields: str) -> None:
    for field in fields:
        value = getattr(security, field)
        if value is not None and not 0 <= value <= ID_MAX:
            errors.invalid(path.child(field), value, ID_RANGE)


def _validate_profiles(errors: Errors, path: Path, security: Any) -> None:
    """What pods and containers can both say about seccomp, Windows and AppArmor."""
    if security.seccompProfile is not None:
        validate_seccomp(errors, path.child("seccompProfile"), security.seccompProfile)
    if security.windowsOptions is not None:
        validate_windows_options(errors, path.child("windowsOptions"), security.windowsOptions)
    if security.appArmorProfile is not None:
        validate_app_armor(errors, path.child("appArmorProfile"), security.appArmorProfile)


def validate_pod_security(errors: Errors, path: Path, spec: Any) -> None:
    """A PodSecurityContext, and the host namespaces that stand beside it in the spec."""
    security = spec.securityContext
    if spec.shareProcessNamespace and spec.hostPID:
        at = path.child("shareProcessNamespace")
        errors.invalid(at, True, "ShareProcessNamespace and HostPID cannot both be enabled")
    if security is None:
        return
    _validate_ids(errors, path, security, "fsGroup", "runAsUser", "runAsGroup")
    for i, group in enumerate(security.supplementalGroups or ()):
        if not 0 <= group <= ID_MAX:
            errors.invalid(path.child("supplementalGroups").index(i), group, ID_RANGE)
    if security.sysctls:
        _validate_sysctls(errors, path.child("sysctls"), spec)
    for field, supported in _POLICIES.items():
        value = getattr(security, field)
        if value is not None and value not in supported:
            errors.not_supported(path.child(field), value, supported)
    _validate_profiles(errors, path, security)


_POLICIES = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}


def validate_host_network(errors: Errors, path: Path, spec: Any, is_pod: bool) -> None:
    """On the host's network a container's port is the host's: both must be the same. `path`: the containers."""
    for i, container in enumerate(spec.containers or ()):
        for j, port in enumerate(container.ports or ()):
            host = port.hostPort or 0
            if (is_pod or host) and host != port.containerPort:
                at = path.index(i).child("ports").index(j).child("hostPort")
                errors.invalid(at, host, "must match `containerPort` when `hostNetwork` is true")


def _validate_sysctls(errors: Errors, path: Path, spec: Any) -> None:
    seen: set[str] = set()
    for i, sysctl in enumerate(spec.securityContext.sysctls or ()):
        at, name = path.index(i).child("name"), sysctl.name
        if not name:
            errors.required(at)
        elif len(name) > SYSCTL_MAX or not _sysctl(name):
            errors.invalid(at, name, f"must have at most {SYSCTL_MAX} characters and match regex {SYSCTL_PATTERN}")
        elif _dotted(name) in seen:
            errors.duplicate(at, name)
        elif spec.hostNetwork and _dotted(name).startswith("net."):
            errors.invalid(at, name, "may not be specified when 'hostNetwork' is true")
        elif spec.hostIPC and _dotted(name).startswith(_HOST_IPC_SYSCTLS):
            errors.invalid(at, name, "may not be specified when 'hostIPC' is true")
        seen.add(_dotted(name))


def _dotted(name: str) -> str:
    """A sysctl's name with dots for separators; the first separator tells which of the two is meant."""
    first = re.search("[./]", name)
    if first is None or first[0] == ".":
        return name
    return name.translate(str.maketrans("./", "/."))


def validate_container_security(errors: Errors, path: Path, security: Any, host_users: bool) -> None:
    """A container's SecurityContext."""
    _validate_ids(errors, path, security, "runAsUser", "runAsGroup")
    if security.procMount is not None:
        if security.procMount not in ("Default", "Unmasked"):
            errors.not_supported(path.child("procMount"), security.procMount, ("Default", "Unmasked"))
        if host_users and security.procMount == "Unmasked":
            errors.invalid(path.child("procMount"), security.procMount, "`hostUsers` must be false to use `Unmasked`")
    _validate_escalation(errors, path, security)
    _validate_profiles(errors, path, security)


def _validate_escalation(errors: Errors, path: Path, security: Any) -> None:
    if security.allowPrivilegeEscalation is not False:
        return
    if security.privileged:
        errors.invalid(path, security, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
    added = security.capabilities.add or () if security.capabilities is not None else ()
    if "CAP_SYS_ADMIN" in added:
        text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        errors.invalid(path, security, text)


def validate_seccomp(errors: Errors, path: Path, profile: Any) -> None:
    """A SeccompProfile."""
    if not profile.type:
        errors.required(path.child("type"), "type is required when seccompProfile is set")
    elif profile.type not in PROFILE_TYPES:
        errors.not_supported(path.child("type"), profile.type, PROFILE_TYPES)
    at = path.child("localhostProfile")
    if profile.type == "Localhost":
        if not profile.localhostProfile:
            errors.required(at, "must be set when seccomp type is Localhost")
        else:
            validate_descending_path(errors, at, profile.localhostProfile)
    elif profile.localhostProfile is not None:
        errors.invalid(at, profile, "can only be set when seccomp type is Localhost")


def validate_app_armor(errors: Errors, path: Path, profile: Any) -> None:
    """An AppArmorProfile."""
    at, local = path.child("localhostProfile"), profile.localhostProfile
    if profile.type == "Localhost":
        if not local:
            errors.required(at, "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            errors.invalid(at, local, "must not be padded with whitespace")
        if local and len(local) > 4095:
            errors.too_long(at, 4095)
    elif profile.type in PROFILE_TYPES:
        if local is not None:
            errors.invalid(at, local, "can only be set when AppArmor type is Localhost")
    elif not profile.type:
        errors.required(path.child("type"), "type is required when appArmorProfile is set")
    else:
        errors.not_supported(path.child("type"), profile.type, PROFILE_TYPES)


def validate_windows_options(errors: Errors, path: Path, options: Any) -> None:
    """Settings of Windows containers."""
    name = options.gmsaCredentialSpecName
    if name is not None:
        names.add_all(errors, path.child("gmsaCredentialSpecName"), name, names.dns1123_subdomain(name))
    spec = options.gmsaCredentialSpec
    if spec is not None:
        at = path.child("gmsaCredentialSpec")
        if not spec:
            errors.invalid(at, spec, "gmsaCredentialSpec cannot be an empty string")
        elif len(spec.encode()) > 64 * 1024:
            errors.invalid(at, spec, "gmsaCredentialSpec size must be under 64 KiB")
    if options.runAsUserName is not None:
        _validate_windows_user(errors, path.child("runAsUserName"), options.runAsUserName)


def _validate_windows_user(errors: Errors, path: Path, name: str) -> None:
    """`user` or `domain\\user`, as Windows' logon names are."""
    parts = name.split("\\")
    if not name:
        errors.invalid(path, name, "runAsUserName cannot be an empty string")
        return
    if re.search(r"[\x00-\x1f\x7f]", name):
        errors.invalid(path, name, "runAsUserName cannot contain control characters")
        return
    if len(parts) > 2:
        errors.invalid(path, name, "runAsUserName cannot contain more than one backslash")
        return
    user = parts[-1]
    if len(parts) == 2 and not parts[0]:
        errors.invalid(path, name, "runAsUserName's Domain doesn't match the NetBIOS nor the DNS format")
    if not user:
        errors.invalid(path, name, "runAsUserName's User cannot be empty")
    elif len(user) > 104:
        errors.invalid(path, name, "runAsUserName's User length must not be longer than 104 characters")
    elif set(user) & set('"/\\[]:;|=,+*?<>@') or not user.strip(". "):
        errors.invalid(path, name, "runAsUserName's User cannot contain only periods or spaces, or special characters")
