"""Checks a pod's containers of all three sorts: regular, init and ephemeral."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api.core.podspec import env, handlers, mounts, resources, security
from kybern.api.core.podspec.context import PodContext
from kybern.api.core.podspec.volumes import PULL_POLICIES
from kybern.api.field import Errors, Path
from kybern.api.validation import names, ports

__all__ = ["validate_containers", "validate_ephemeral_containers", "validate_init_containers"]

MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
RULE_ACTIONS = ("Restart", "RestartAllContainers")
RULES_MAX = 20
PORT_MAX = 65535
NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
ONLY_SIDECAR = "may not be set for init containers without restartPolicy=Always"


def validate_containers(errors: Errors, path: Path, spec: Any, context: PodContext) -> None:
    """The regular containers: at least one."""
    if not spec.containers:
        errors.required(path)
        return
    seen: set[str] = set()
    os = spec.os.name if spec.os is not None else ""
    for i, container in enumerate(spec.containers):
        at = path.index(i)
        _validate_common(errors, at, container, context)
        _claim_name(errors, at, container.name, seen)
        _validate_hooks(errors, at, container, context, os)
    _validate_host_ports(errors, path, spec.containers)


def validate_init_containers(errors: Errors, path: Path, spec: Any, context: PodContext) -> None:
    """Init containers; those that restart always are sidecars and may have hooks and probes."""
    seen = {container.name for container in spec.containers or ()}
    os = spec.os.name if spec.os is not None else ""
    for i, container in enumerate(spec.initContainers or ()):
        at = path.index(i)
        _validate_common(errors, at, container, context)
        _claim_name(errors, at, container.name, seen)
        _validate_host_ports(errors, path, [container])
        if container.restartPolicy == "Always":
            _validate_hooks(errors, at, container, context, os)
            continue
        for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if getattr(container, field) is not None:
                errors.forbidden(at.child(field), ONLY_SIDECAR)
        if container.resizePolicy:
            errors.invalid(at.child("resizePolicy"), container.resizePolicy, "must not be set for init containers")


def validate_ephemeral_containers(errors: Errors, path: Path, spec: Any, context: PodContext) -> None:
    """Containers added to a running pod for debugging: nothing that others could come to rely on."""
    others = {c.name for c in (*(spec.containers or ()), *(spec.initContainers or ()))}
    seen = set(others)
    for i, container in enumerate(spec.ephemeralContainers or ()):
        at = path.index(i)
        _validate_common(errors, at, container, context)
        validate_image_spaces(errors, at, container)
        _claim_name(errors, at, container.name, seen)
        if container.targetContainerName and container.targetContainerName not in others:
            errors.not_found(at.child("targetContainerName"), container.targetContainerName)
        for field in ("lifecycle", "livenessProbe", "ports", "readinessProbe", "resizePolicy", "restartPolicy",
                      "restartPolicyRules", "startupProbe"):  # fmt: skip
            if getattr(container, field) is not None:
                errors.forbidden(at.child(field), NOT_EPHEMERAL)
        if any(getattr(container.resources, f) for f in ("claims", "limits", "requests")):
            errors.forbidden(at.child("resources"), NOT_EPHEMERAL)
        for j, mount in enumerate(container.volumeMounts or ()):
            for field in ("subPath", "subPathExpr"):
                if getattr(mount, field):
                    errors.forbidden(at.child("volumeMounts").index(j).child(field), NOT_EPHEMERAL)


def validate_image_spaces(errors: Errors, path: Path, container: Any) -> None:
    """Only real pods are held to this; templates may carry such an image for compatibility."""
    image = container.image or ""
    if image != image.strip():
        errors.invalid(path.child("image"), image, "must not have leading or trailing whitespace")


def _claim_name(errors: Errors, path: Path, name: str, seen: set[str]) -> None:
    if name in seen:
        errors.duplicate(path.child("name"), name)
    elif name:
        seen.add(name)


def _validate_common(errors: Errors, path: Path, container: Any, context: PodContext) -> None:
    if not container.name:
        errors.required(path.child("name"))
    elif faults := names.dns1123_label(container.name):
        names.add_all(errors, path.child("name"), container.name, faults)
    if not container.image:
        errors.required(path.child("image"))
    _one_of(errors, path, "terminationMessagePolicy", container.terminationMessagePolicy, MESSAGE_POLICIES)
    if container.ports:
        _validate_ports(errors, path.child("ports"), container.ports)
    if container.env:
        env.validate_env(errors, path.child("env"), container.env)
    if container.envFrom:
        env.validate_env_from(errors, path.child("envFrom"), container.envFrom)
    if container.volumeMounts:
        mounts.validate_mounts(errors, path.child("volumeMounts"), container, context)
    if container.volumeDevices:
        mounts.validate_devices(errors, path.child("volumeDevices"), container, context)
    _one_of(errors, path, "imagePullPolicy", container.imagePullPolicy, PULL_POLICIES)
    resources.validate_resources(errors, path.child("resources"), container.resources, context.claims)
    if container.resizePolicy:
        resources.validate_resize_policy(
            errors, path.child("resizePolicy"), container.resizePolicy, context.restart_policy
        )
    if container.securityContext is not None:
        at = path.child("securityContext")
        security.validate_container_security(errors, at, container.securityContext, context.host_users)
    _validate_restart_policy(errors, path, container)


def _one_of(errors: Errors, path: Path, field: str, value: str | None, supported: tuple[str, ...]) -> None:
    if not value:
        errors.required(path.child(field))
    elif value not in supported:
        errors.not_supported(path.child(field), value, supported)


def _validate_hooks(errors: Errors, path: Path, container: Any, context: PodContext, os: str) -> None:
    if container.lifecycle is not None:
        handlers.validate_lifecycle(errors, path.child("lifecycle"), container.lifecycle, context.grace_seconds, os)
    handlers.validate_probes(errors, path, container, context.grace_seconds)


def _validate_ports(errors: Errors, path: Path, found: Sequence[Any] | None) -> None:
    seen: set[str] = set()
    for i, port in enumerate(found or ()):
        at = path.index(i)
        if port.name:
            faults = ports.port_name(port.name)
            names.add_all(errors, at.child("name"), port.name, faults)
            if not faults and port.name in seen:
                errors.duplicate(at.child("name"), port.name)
            seen.add(port.name)
        if not port.containerPort:
            errors.required(at.child("containerPort"))
        elif not 0 < port.containerPort <= PORT_MAX:
            ports.validate_port_number(errors, at.child("containerPort"), port.containerPort)
        if port.hostPort:
            ports.validate_port_number(errors, at.child("hostPort"), port.hostPort)
        if port.protocol not in ports.PROTOCOLS:
            ports.validate_protocol(errors, at.child("protocol"), port.protocol)


def _validate_host_ports(errors: Errors, path: Path, containers: Iterable[Any]) -> None:
    """No two containers take the same port of the host."""
    seen: set[str] = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.ports or ()):
            if not port.hostPort:
                continue
            key = f"{port.protocol or ''}/{port.hostIP or ''}/{port.hostPort}"
            if key in seen:
                errors.duplicate(path.index(i).child("ports").index(j).child("hostPort"), key)
            seen.add(key)


def _validate_restart_policy(errors: Errors, path: Path, container: Any) -> None:
    policy, rules = container.restartPolicy, container.restartPolicyRules or []
    if policy is not None and policy not in RESTART_POLICIES:
        errors.not_supported(path.child("restartPolicy"), policy, RESTART_POLICIES)
    if not rules:
        return
    at = path.child("restartPolicyRules")
    if policy is None:
        errors.required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used")
    if len(rules) > RULES_MAX:
        errors.too_many(at, len(rules), RULES_MAX)
    for i, rule in enumerate(rules):
        _validate_restart_rule(errors, at.index(i), rule)


def _validate_restart_rule(errors: Errors, path: Path, rule: Any) -> None:
    if rule.action not in RULE_ACTIONS:
        errors.not_supported(path.child("action"), rule.action, RULE_ACTIONS)
    codes = rule.exitCodes
    if codes is None:
        errors.required(path.child("exitCodes"), "must be specified")
        return
    if codes.operator not in ("In", "NotIn"):
        errors.not_supported(path.child("exitCodes", "operator"), codes.operator, ("In", "NotIn"))
    if not codes.values:
        errors.required(path.child("exitCodes", "values"), "must have at least one value")
    elif len(codes.values) > 255:
        errors.too_many(path.child("exitCodes", "values"), len(codes.values), 255)
