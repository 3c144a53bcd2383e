"""The Pod Security Standards: what a pod may not do under `baseline`, and what it must do under `restricted`.

Each check looks at a pod's metadata and spec and answers with a reason and details, or nothing.
(Kubernetes docs, "Pod Security Standards"; of every check the newest version.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kybern.api.field import go_quote

__all__ = ["LEVELS", "violations"]

LEVELS = ("privileged", "baseline", "restricted")

Violation = tuple[str, str]
"""Reason and details."""
Check = Callable[[Any, Any], Violation | None]

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip
_SELINUX_TYPES = frozenset(["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
_SECCOMP = ("RuntimeDefault", "Localhost")
_VOLUMES = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    }
)  # fmt: skip


def violations(level: str, metadata: Any, spec: Any) -> list[Violation]:
    """What the pod does that the level does not allow; checks of `baseline` that `restricted` sharpens count once."""
    if level == "privileged":
        return []
    checks = _BASELINE if level == "baseline" else [c for c in _BASELINE if c not in _SHARPENED] + _RESTRICTED
    return [found for check in checks if (found := check(metadata, spec)) is not None]


def _containers(spec: Any) -> Iterator[Any]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from getattr(spec, field) or ()


def _context(holder: Any, field: str) -> Any:
    """A field of the security context; None when there is none."""
    return getattr(holder.securityContext, field) if holder.securityContext is not None else None


def _where(spec: Any, bad: Callable[[Any], bool]) -> list[str]:
    """Names of the containers for which `bad` holds."""
    return [container.name for container in _containers(spec) if bad(container)]


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(map(go_quote, values))


def _named(what: str, names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{what}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _setters(pod: bool, names: list[str]) -> str:
    """Who set something: the pod, containers, or both."""
    return " and ".join(["pod"] * pod + [_named("container", names)] * bool(names))


def _privileged(_: Any, spec: Any) -> Violation | None:
    names = _where(spec, lambda c: bool(_context(c, "privileged")))
    if not names:
        return None
    return "privileged", f"{_named('container', names)} must not set securityContext.privileged=true"


def _host_namespaces(_: Any, spec: Any) -> Violation | None:
    used = [field for field in ("hostNetwork", "hostPID", "hostIPC") if getattr(spec, field)]
    return ("host namespaces", ", ".join(f"{field}=true" for field in used)) if used else None


def _host_paths(_: Any, spec: Any) -> Violation | None:
    names = [volume.name for volume in spec.volumes or () if volume.hostPath]
    return ("hostPath volumes", _named("volume", names)) if names else None


def _host_ports(_: Any, spec: Any) -> Violation | None:
    used = {c.name: [p.hostPort for p in c.ports or () if p.hostPort] for c in _containers(spec)}
    names = [name for name, ports in used.items() if ports]
    if not names:
        return None
    numbers = sorted({str(port) for ports in used.values() for port in ports})
    uses = "uses" if len(names) == 1 else "use"
    ports = f"hostPort{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
    return "hostPort", f"{_named('container', names)} {uses} {ports}"


def _probe_hosts(_: Any, spec: Any) -> Violation | None:
    hosts = {container.name: set(_handler_hosts(container)) for container in _containers(spec)}
    names = [name for name, found in hosts.items() if found]
    if not names:
        return None
    found = sorted(set().union(*hosts.values()))
    uses = "uses" if len(names) == 1 else "use"
    shown = f"probe or lifecycle host{'s' if len(found) > 1 else ''} {_quoted(found)}"
    return "probe or lifecycle host", f"{_named('container', names)} {uses} {shown}"


def _handler_hosts(container: Any) -> Iterator[str]:
    """Hosts that the node is told to connect to, other than the pod itself."""
    lifecycle = container.lifecycle
    hooks = (lifecycle.postStart, lifecycle.preStop) if lifecycle else ()
    for handler in (container.livenessProbe, container.readinessProbe, container.startupProbe, *hooks):
        for action in (handler.httpGet, handler.tcpSocket) if handler else ():
            if action and action.host:
                yield action.host


def _added(spec: Any, allowed: Iterable[str]) -> tuple[list[str], list[str]]:
    """(containers, capabilities) that add more than is allowed."""
    allowed = frozenset(allowed)
    names, added = [], set()
    for container in _containers(spec):
        capabilities = _context(container, "capabilities")
        more = set(capabilities.add or ()) - allowed if capabilities else set()
        if more:
            names.append(container.name)
            added |= more
    return names, sorted(added)


def _not_include(names: list[str], added: list[str]) -> str:
    return f"{_named('container', names)} must not include {_quoted(added)} in securityContext.capabilities.add"


def _capabilities(_: Any, spec: Any) -> Violation | None:
    names, added = _added(spec, _DEFAULT_CAPABILITIES)
    return ("non-default capabilities", _not_include(names, added)) if names else None


def _no_capabilities(_: Any, spec: Any) -> Violation | None:
    if _is_windows(spec):
        return None

    def keeps_some(container: Any) -> bool:
        capabilities = _context(container, "capabilities")
        return capabilities is None or "ALL" not in (capabilities.drop or ())

    details = []
    if keeping := _where(spec, keeps_some):
        details.append(f'{_named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    names, added = _added(spec, ["NET_BIND_SERVICE"])
    if names:
        details.append(_not_include(names, added))
    return ("unrestricted capabilities", "; ".join(details)) if details else None


def _proc_mount(_: Any, spec: Any) -> Violation | None:
    if spec.hostUsers is False:
        return None
    bad = {c.name: _context(c, "procMount") for c in _containers(spec)}
    names = [name for name, value in bad.items() if value and value != "Default"]
    if not names:
        return None
    values = _quoted(sorted({str(bad[name]) for name in names}))
    return "procMount", f"{_named('container', names)} must not set securityContext.procMount to {values}"


def _selinux(_: Any, spec: Any) -> Violation | None:
    def bad(holder: Any) -> bool:
        options = _context(holder, "seLinuxOptions")
        return options is not None and bool((options.type or "") not in _SELINUX_TYPES or options.user or options.role)

    names, pod = _where(spec, bad), bad(spec)
    if not (names or pod):
        return None
    all_options = [_context(holder, "seLinuxOptions") for holder in (spec, *_containers(spec)) if bad(holder)]
    types = sorted({option.type for option in all_options if (option.type or "") not in _SELINUX_TYPES})
    details = [_named("type", types)] * bool(types)
    details += ["user may not be set"] * any(option.user for option in all_options)
    details += ["role may not be set"] * any(option.role for option in all_options)
    forbidden = "set forbidden securityContext.seLinuxOptions"
    return "seLinuxOptions", f"{_setters(pod, names)} {forbidden}: {'; '.join(details)}"


def _apparmor(metadata: Any, spec: Any) -> Violation | None:
    def allowed(profile: str) -> bool:
        return not profile or profile == "runtime/default" or profile.startswith("localhost/")

    def unconfined(holder: Any) -> bool:
        profile = _context(holder, "appArmorProfile")
        return profile is not None and profile.type not in _SECCOMP

    found = [
        f"{key}={go_quote(value)}"
        for key, value in sorted((metadata.annotations or {}).items())
        if key.startswith(_APPARMOR) and not allowed(value)
    ]
    names, pod = _where(spec, unconfined), unconfined(spec)
    if names or pod:
        found.append(f'{_setters(pod, names)} must not set AppArmor profile type to "Unconfined"')
    return (f"forbidden AppArmor profile{'s' if len(found) > 1 else ''}", ", ".join(found)) if found else None


def _seccomp_type(holder: Any) -> str | None:
    profile = _context(holder, "seccompProfile")
    return None if profile is None else str(profile.type)


def _bad_seccomp(spec: Any) -> Violation | None:
    def bad(holder: Any) -> bool:
        return (_seccomp_type(holder) or "RuntimeDefault") not in _SECCOMP

    names, pod = _where(spec, bad), bad(spec)
    if not (names or pod):
        return None
    values = _quoted(sorted({str(_seccomp_type(holder)) for holder in (spec, *_containers(spec)) if bad(holder)}))
    return "seccompProfile", f"{_setters(pod, names)} must not set securityContext.seccompProfile.type to {values}"


def _seccomp(_: Any, spec: Any) -> Violation | None:
    return _bad_seccomp(spec)


def _seccomp_set(_: Any, spec: Any) -> Violation | None:
    if _is_windows(spec):
        return None
    if (bad := _bad_seccomp(spec)) is not None:
        return bad
    names = _where(spec, lambda c: _seccomp_type(c) is None) if _seccomp_type(spec) is None else []
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return ("seccompProfile", f"pod or {_named('container', names)} {must}") if names else None


def _sysctls(_: Any, spec: Any) -> Violation | None:
    names = [sysctl.name for sysctl in _context(spec, "sysctls") or () if sysctl.name not in _SAFE_SYSCTLS]
    return ("forbidden sysctls", ", ".join(names)) if names else None


def _host_process(_: Any, spec: Any) -> Violation | None:
    def bad(holder: Any) -> bool:
        options = _context(holder, "windowsOptions")
        return options is not None and bool(options.hostProcess)

    names, pod = _where(spec, bad), bad(spec)
    if not (names or pod):
        return None
    return "hostProcess", f"{_setters(pod, names)} must not set securityContext.windowsOptions.hostProcess=true"


def _escalation(_: Any, spec: Any) -> Violation | None:
    if _is_windows(spec):
        return None
    names = _where(spec, lambda c: _context(c, "allowPrivilegeEscalation") is not False)
    must = "must set securityContext.allowPrivilegeEscalation=false"
    return ("allowPrivilegeEscalation != false", f"{_named('container', names)} {must}") if names else None


def _volume_types(_: Any, spec: Any) -> Violation | None:
    bad = {v.name: kind for v in spec.volumes or () if (kind := _volume_type(v)) not in _VOLUMES}
    if not bad:
        return None
    kinds = sorted(set(bad.values()))
    uses = "uses" if len(bad) == 1 else "use"
    types = f"restricted volume type{'s' if len(kinds) > 1 else ''} {_quoted(kinds)}"
    return "restricted volume types", f"{_named('volume', list(bad))} {uses} {types}"


def _volume_type(volume: Any) -> str:
    """The one source that is set; a volume without any is an emptyDir."""
    fields = (field for field in volume.__struct_fields__ if field != "name")
    return next((field for field in fields if getattr(volume, field) is not None), "emptyDir")


def _non_root(_: Any, spec: Any) -> Violation | None:
    if spec.hostUsers is False:
        return None
    names = _where(spec, lambda c: _context(c, "runAsNonRoot") is False)
    pod = _context(spec, "runAsNonRoot")
    if names or pod is False:
        return "runAsNonRoot != true", (
            f"{_setters(pod is False, names)} must not set securityContext.runAsNonRoot=false"
        )
    silent = [] if pod else _where(spec, lambda c: _context(c, "runAsNonRoot") is None)
    must = "must set securityContext.runAsNonRoot=true"
    return ("runAsNonRoot != true", f"pod or {_named('container', silent)} {must}") if silent else None


def _root_user(_: Any, spec: Any) -> Violation | None:
    if spec.hostUsers is False:
        return None
    names, pod = _where(spec, lambda c: _context(c, "runAsUser") == 0), _context(spec, "runAsUser") == 0
    return ("runAsUser=0", f"{_setters(pod, names)} must not set runAsUser=0") if names or pod else None


def _is_windows(spec: Any) -> bool:
    return spec.os is not None and spec.os.name == "windows"


_BASELINE: list[Check] = [
    _apparmor, _capabilities, _host_namespaces, _host_paths, _host_ports, _probe_hosts, _privileged, _proc_mount,
    _selinux, _seccomp, _sysctls, _host_process,
]  # fmt: skip
_RESTRICTED: list[Check] = [_escalation, _no_capabilities, _volume_types, _non_root, _root_user, _seccomp_set]
_SHARPENED = (_capabilities, _host_paths, _seccomp)
"""Checks of `baseline` that one of `restricted` takes the place of."""
