"""PodSecurity: holds the pods of a namespace to the standard that its labels name.

`pod-security.kubernetes.io/enforce` refuses pods; `warn` only warns, also about Deployments and
the like, whose pods would be refused later; `audit` has nobody to tell here. A namespace without
labels allows everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kybern.api.errors import StatusError
from kybern.api.field import Errors, go_quote
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.pod_security_checks import LEVELS, violations
from kybern_admission_builtin.refusal import forbidden

__all__ = ["PodSecurity"]

LABEL = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
_TEMPLATES: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("", "PodTemplate"): lambda obj: obj.template,
    ("batch", "CronJob"): lambda obj: obj.spec.jobTemplate.spec.template,
    ("", "ReplicationController"): lambda obj: obj.spec.template,
    ("apps", "DaemonSet"): lambda obj: obj.spec.template,
    ("apps", "Deployment"): lambda obj: obj.spec.template,
    ("apps", "ReplicaSet"): lambda obj: obj.spec.template,
    ("apps", "StatefulSet"): lambda obj: obj.spec.template,
    ("batch", "Job"): lambda obj: obj.spec.template,
}
_MOST_PODS = 3000


@attrs.frozen
class _Level:
    """A standard, at a version."""

    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def complaint(self, metadata: Any, spec: Any) -> str:
        """What the pod does wrong, in one line; empty when nothing."""
        found = violations(self.level, metadata, spec)
        return ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in found)


class PodSecurity(Admission):
    """Refuses and warns."""

    name = "PodSecurity"
    order = 70

    def __init__(self, namespaces: Lookup[Any], pods: Lookup[Any]) -> None:
        self._namespaces = namespaces
        self._pods = pods

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        about = (kind.group, kind.kind)
        if about == ("", "Pod"):
            return (operation, subresource) in (("CREATE", ""), ("UPDATE", "ephemeralcontainers"))
        known = about == ("", "Namespace") or about in _TEMPLATES
        return known and operation in ("CREATE", "UPDATE") and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.kind == "Namespace":
            self._check_namespace(request)
            return
        namespace = await self._namespaces.get(request.namespace)
        labels = (namespace.metadata.labels or {}) if namespace is not None else {}
        if not any(label.startswith(LABEL) for label in labels):
            return
        if request.kind.kind == "Pod":
            _check_pod(request, labels)
        else:
            _warn(request, labels, _TEMPLATES[request.kind.group, request.kind.kind](request.object))

    def _check_namespace(self, request: AdmissionRequest) -> None:
        """Labels must make sense when they are set; raising the bar tells who is below it."""
        labels = request.object.metadata.labels or {}
        before = (request.old.metadata.labels or {}) if request.old is not None else {}
        errors = _label_errors(labels)
        if errors and (request.old is None or errors != _label_errors(before)):
            raise StatusError.invalid("Namespace", "", request.object.metadata.name or "", errors)
        new, old = _level(labels, "enforce"), _level(before, "enforce")
        relaxed = new.version == old.version and LEVELS.index(new.level) <= LEVELS.index(old.level)
        if request.old is not None and new != old and not relaxed:
            request.warnings.extend(self._below(request.object.metadata.name or "", new))

    def _below(self, namespace: str, level: _Level) -> list[str]:
        below: dict[str, list[str]] = {}
        pods = [pod for pod in self._pods.list() if pod.metadata.namespace == namespace][:_MOST_PODS]
        for pod in sorted(pods, key=lambda p: p.metadata.name):
            found = violations(level.level, pod.metadata, pod.spec)
            if found:
                below.setdefault(", ".join(reason for reason, _ in found), []).append(pod.metadata.name)
        if not below:
            return []
        what = f"existing pods in namespace {go_quote(namespace)} violate the new PodSecurity enforce level"
        return [f"{what} {go_quote(str(level))}", *(f"{_some(names)}: {reasons}" for reasons, names in below.items())]


def _check_pod(request: AdmissionRequest, labels: Mapping[str, str]) -> None:
    pod, level = request.object, _level(labels, "enforce")
    if complaint := level.complaint(pod.metadata, pod.spec):
        raise forbidden(request, f"violates PodSecurity {go_quote(str(level))}: {complaint}")
    _warn(request, labels, pod)


def _warn(request: AdmissionRequest, labels: Mapping[str, str], pod: Any) -> None:
    if pod is None:
        return
    level = _level(labels, "warn")
    if complaint := level.complaint(pod.metadata, pod.spec):
        request.warnings.append(f"would violate PodSecurity {go_quote(str(level))}: {complaint}")


def _level(labels: Mapping[str, str], mode: str) -> _Level:
    """The standard of a mode. Who enforces and does not say what to warn of is warned of the same."""
    name, version = labels.get(LABEL + mode), labels.get(f"{LABEL}{mode}-version", "latest")
    if mode == "warn" and name is None:
        return _level(labels, "enforce")
    if name is None:
        return _Level(version=version)
    if name not in LEVELS:
        return _Level("restricted" if mode == "enforce" else "privileged")
    return _Level(name, version)


def _label_errors(labels: Mapping[str, str]) -> Errors:
    errors = Errors()
    for mode in ("enforce", "audit", "warn"):
        for label in (LABEL + mode, f"{LABEL}{mode}-version"):
            value = labels.get(label)
            if value is None:
                continue
            path = f"metadata.labels[{label}]"
            if label.endswith("-version") and not _VERSION.fullmatch(value):
                errors.invalid(path, value, 'must be "latest" or "v1.x"')
            elif not label.endswith("-version") and value not in LEVELS:
                errors.invalid(path, value, f"must be one of {', '.join(LEVELS)}")
    return errors


def _some(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    others = f"{len(names) - 1} other pod{'s' if len(names) > 2 else ''}"
    return f"{names[0]} (and {others})"
