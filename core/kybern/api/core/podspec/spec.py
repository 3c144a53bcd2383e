"""Checks a whole PodSpec, of a pod or of a template."""

from __future__ import annotations

from typing import Any

from kybern.api import core
from kybern.api.core.podspec import affinity, containers, dns, resources, security, system
from kybern.api.core.podspec.context import PodContext
from kybern.api.core.podspec.volumes import validate_volumes
from kybern.api.field import Errors, Path
from kybern.api.validation import labels, names
from kybern.api.validation.tolerations import validate_tolerations

__all__ = ["validate_pod_spec"]

RESTART_POLICIES = ("Always", "OnFailure", "Never")
PREEMPTION = ("PreemptLowerPriority", "Never")
DEADLINE_MAX = 2**31 - 1


def validate_pod_spec(errors: Errors, path: Path, spec: Any, *, is_pod: bool, pod_name: str = "") -> None:
    """Everything about the spec alone. `pod_name`: of the Pod, empty for templates."""
    volumes = validate_volumes(errors, path.child("volumes"), spec.volumes, pod_name) if spec.volumes else {}
    claims = resources.validate_claims(errors, path.child("resourceClaims"), spec.resourceClaims)
    context = PodContext(
        volumes=volumes,
        claims=claims,
        grace_seconds=spec.terminationGracePeriodSeconds or 0,
        restart_policy=spec.restartPolicy or "",
        host_users=spec.hostUsers is not False,
        is_pod=is_pod,
    )
    containers.validate_containers(errors, path.child("containers"), spec, context)
    if spec.initContainers:
        containers.validate_init_containers(errors, path.child("initContainers"), spec, context)
    if spec.ephemeralContainers:
        containers.validate_ephemeral_containers(errors, path.child("ephemeralContainers"), spec, context)
    if spec.resources is not None:
        resources.validate_pod_resources(errors, path, spec, context)
    _one_of(errors, path, "restartPolicy", spec.restartPolicy, RESTART_POLICIES)
    _one_of(errors, path, "dnsPolicy", spec.dnsPolicy, dns.POLICIES)
    if spec.nodeSelector:
        labels.validate_labels(errors, path.child("nodeSelector"), spec.nodeSelector)
    if spec.hostNetwork:
        security.validate_host_network(errors, path.child("containers"), spec, is_pod)
    security.validate_pod_security(errors, path.child("securityContext"), spec)
    _validate_placement(errors, path, spec)
    system.validate_host_process(errors, path, spec)
    if spec.hostUsers is False:
        system.validate_host_users(errors, path, spec)
    _validate_names(errors, path, spec)
    if spec.tolerations:
        validate_tolerations(errors, path.child("tolerations"), spec.tolerations)
    if spec.hostAliases:
        dns.validate_host_aliases(errors, path.child("hostAliases"), spec.hostAliases)
    _validate_class_names(errors, path, spec)
    if spec.preemptionPolicy is not None:
        _one_of(errors, path, "preemptionPolicy", spec.preemptionPolicy, PREEMPTION)
    if spec.overhead:
        _validate_overhead(errors, path.child("overhead"), spec.overhead)
    if spec.os is not None:
        system.validate_os(errors, path, spec)


def _validate_placement(errors: Errors, path: Path, spec: Any) -> None:
    """Where the pod wants to run and what it waits for; and its DNS, which upstream checks in between."""
    if spec.affinity is not None:
        affinity.validate_affinity(errors, path.child("affinity"), spec.affinity)
    if spec.dnsConfig is not None or spec.dnsPolicy == "None":
        dns.validate_dns(errors, path.child("dnsConfig"), spec)
    if spec.readinessGates:
        affinity.validate_readiness_gates(errors, path.child("readinessGates"), spec.readinessGates)
    if spec.schedulingGates:
        affinity.validate_scheduling_gates(errors, path.child("schedulingGates"), spec.schedulingGates)
    if spec.topologySpreadConstraints:
        affinity.validate_spread(errors, path.child("topologySpreadConstraints"), spec.topologySpreadConstraints)


def _one_of(errors: Errors, path: Path, field: str, value: str | None, supported: tuple[str, ...]) -> None:
    if not value:
        errors.required(path.child(field))
    elif value not in supported:
        errors.not_supported(path.child(field), value, supported)


def _validate_names(errors: Errors, path: Path, spec: Any) -> None:
    for field in ("serviceAccountName", "nodeName"):
        value = getattr(spec, field)
        if value and (faults := names.dns1123_subdomain(value)):
            names.add_all(errors, path.child(field), value, faults)
    deadline = spec.activeDeadlineSeconds
    if deadline is not None and not 1 <= deadline <= DEADLINE_MAX:
        errors.invalid(
            path.child("activeDeadlineSeconds"), deadline, f"must be between 1 and {DEADLINE_MAX}, inclusive"
        )
    for field in ("hostname", "subdomain"):
        value = getattr(spec, field)
        if value:
            names.add_all(errors, path.child(field), value, names.dns1123_label(value))
    if spec.hostnameOverride is not None:
        _validate_hostname_override(errors, path.child("hostnameOverride"), spec)


def _validate_hostname_override(errors: Errors, path: Path, spec: Any) -> None:
    names.add_all(errors, path, spec.hostnameOverride, names.dns1123_subdomain(spec.hostnameOverride))
    if len(spec.hostnameOverride) > 64:
        errors.too_long(path, 64)
    if spec.hostNetwork:
        errors.forbidden(path, "cannot be set when `hostNetwork` is true")
    if spec.setHostnameAsFQDN:
        errors.forbidden(path, "cannot be set when `setHostnameAsFQDN` is true")


def _validate_class_names(errors: Errors, path: Path, spec: Any) -> None:
    if spec.priorityClassName:
        at = path.child("priorityClassName")
        names.add_all(errors, at, spec.priorityClassName, names.dns1123_subdomain(spec.priorityClassName))
    if spec.runtimeClassName is not None:
        at = path.child("runtimeClassName")
        names.add_all(errors, at, spec.runtimeClassName, names.dns1123_subdomain(spec.runtimeClassName))


def _validate_overhead(errors: Errors, path: Path, overhead: dict[str, str]) -> None:
    resources.validate_resources(errors, path, core.ResourceRequirements(limits=overhead))
