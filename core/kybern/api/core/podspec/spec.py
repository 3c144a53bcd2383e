"""Checks a whole PodSpec, of a pod or of a template."""

from __future__ import annotations

from typing import Any

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
    volumes = validate_volumes(errors, path.child("volumes"), spec.volumes, pod_name)
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
    containers.validate_init_containers(errors, path.child("initContainers"), spec, context)
    containers.validate_ephemeral_containers(errors, path.child("ephemeralContainers"), spec, context)
    resources.validate_pod_resources(errors, path.child("resources"), spec, context)
    _one_of(errors, path.child("restartPolicy"), spec.restartPolicy, RESTART_POLICIES)
    _one_of(errors, path.child("dnsPolicy"), spec.dnsPolicy, dns.POLICIES)
    labels.validate_labels(errors, path.child("nodeSelector"), spec.nodeSelector)
    security.validate_host_network(errors, path.child("containers"), spec, is_pod)
    security.validate_pod_security(errors, path.child("securityContext"), spec)
    affinity.validate_affinity(errors, path.child("affinity"), spec.affinity)
    dns.validate_dns(errors, path.child("dnsConfig"), spec)
    affinity.validate_readiness_gates(errors, path.child("readinessGates"), spec.readinessGates)
    affinity.validate_scheduling_gates(errors, path.child("schedulingGates"), spec.schedulingGates)
    affinity.validate_spread(errors, path.child("topologySpreadConstraints"), spec.topologySpreadConstraints)
    system.validate_host_process(errors, path, spec)
    system.validate_host_users(errors, path, spec)
    _validate_names(errors, path, spec)
    validate_tolerations(errors, path.child("tolerations"), spec.tolerations)
    dns.validate_host_aliases(errors, path.child("hostAliases"), spec.hostAliases)
    _validate_class_names(errors, path, spec)
    if spec.preemptionPolicy is not None:
        _one_of(errors, path.child("preemptionPolicy"), spec.preemptionPolicy, PREEMPTION)
    _validate_overhead(errors, path.child("overhead"), spec.overhead)
    system.validate_os(errors, path, spec)


def _one_of(errors: Errors, path: Path, value: str | None, supported: tuple[str, ...]) -> None:
    if not value:
        errors.required(path)
    elif value not in supported:
        errors.not_supported(path, value, supported)


def _validate_names(errors: Errors, path: Path, spec: Any) -> None:
    for field, rule in (("serviceAccountName", names.dns1123_subdomain), ("nodeName", names.dns1123_subdomain)):
        value = getattr(spec, field)
        if value:
            names.add_all(errors, path.child(field), value, rule(value))
    deadline = spec.activeDeadlineSeconds
    if deadline is not None and not 1 <= deadline <= DEADLINE_MAX:
        errors.invalid(path.child("activeDeadlineSeconds"), deadline, f"must be between 1 and {DEADLINE_MAX}, inclusive")
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


def _validate_overhead(errors: Errors, path: Path, overhead: dict[str, str] | None) -> None:
    if overhead:
        from kybern.api.core import ResourceRequirements

        resources.validate_resources(errors, path, ResourceRequirements(limits=overhead))
