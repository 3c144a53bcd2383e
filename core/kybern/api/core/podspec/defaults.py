"""Fills in what the author of a pod or a pod template left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kybern.api import core
from kybern.api.core.podspec.images import default_pull_policy
from kybern.api.core.podspec.totals import aggregate_requests
from kybern.api.validation import resources

__all__ = ["default_claim_spec", "default_pod", "default_pod_spec", "default_template", "mirror_service_account"]

FILE_MODE = 0o644
TOKEN_SECONDS = 3600
GRACE_SECONDS = 30
POD_LEVEL_RESOURCES = ("cpu", "memory")


def default_pod(pod: Any) -> None:
    """A Pod: its spec, and what only real pods get (templates leave it to the pods made from them)."""
    spec = pod.spec
    default_pod_spec(spec)
    if spec.enableServiceLinks is None:
        spec.enableServiceLinks = True
    for container in _containers(spec):
        _request_limits(container.resources)
    if spec.resources is not None:
        _default_pod_requests(pod)
    if spec.hostNetwork:
        for container in _containers(spec):
            for port in container.ports or ():
                port.hostPort = port.hostPort or port.containerPort or None


def default_template(template: Any) -> None:
    """A PodTemplateSpec inside another kind."""
    default_pod_spec(template.spec)


def default_pod_spec(spec: Any) -> None:
    """The part that pods and templates share."""
    mirror_service_account(spec)
    spec.dnsPolicy = spec.dnsPolicy or "ClusterFirst"
    spec.restartPolicy = spec.restartPolicy or "Always"
    spec.schedulerName = spec.schedulerName or "default-scheduler"
    if spec.securityContext is None:
        spec.securityContext = core.PodSecurityContext()
    if spec.terminationGracePeriodSeconds is None:
        spec.terminationGracePeriodSeconds = GRACE_SECONDS
    for container in _containers(spec):
        _default_container(container)
    for container in spec.ephemeralContainers or ():
        _default_container(container)
    for volume in spec.volumes or ():
        _default_volume(volume)


def mirror_service_account(spec: Any) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both always show the same."""
    spec.serviceAccountName = spec.serviceAccountName or spec.serviceAccount
    spec.serviceAccount = spec.serviceAccountName


def _containers(spec: Any) -> Iterator[Any]:
    yield from spec.initContainers or ()
    yield from spec.containers or ()


def _default_container(container: Any) -> None:
    if not container.imagePullPolicy:
        container.imagePullPolicy = default_pull_policy(container.image or "")
    container.terminationMessagePath = container.terminationMessagePath or "/dev/termination-log"
    container.terminationMessagePolicy = container.terminationMessagePolicy or "File"
    for port in container.ports or ():
        port.protocol = port.protocol or "TCP"
    for variable in container.env or ():
        if variable.valueFrom is not None:
            _default_field_ref(variable.valueFrom.fieldRef)
    for probe in (container.livenessProbe, container.readinessProbe, container.startupProbe):
        if probe is not None:
            _default_probe(probe)
    if container.lifecycle is not None:
        _default_http_get(container.lifecycle.postStart)
        _default_http_get(container.lifecycle.preStop)


def _default_probe(probe: Any) -> None:
    probe.timeoutSeconds = probe.timeoutSeconds or 1
    probe.periodSeconds = probe.periodSeconds or 10
    probe.successThreshold = probe.successThreshold or 1
    probe.failureThreshold = probe.failureThreshold or 3
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""
    _default_http_get(probe)


def _default_http_get(handler: Any | None) -> None:
    if handler is not None and handler.httpGet is not None:
        handler.httpGet.path = handler.httpGet.path or "/"
        handler.httpGet.scheme = handler.httpGet.scheme or "HTTP"


def _default_field_ref(reference: Any | None) -> None:
    if reference is not None:
        reference.apiVersion = reference.apiVersion or "v1"


def _default_volume(volume: Any) -> None:
    sources = [name for name in volume.__struct_fields__ if name != "name" and getattr(volume, name) is not None]
    if not sources:
        volume.emptyDir = core.EmptyDirVolumeSource()
    for name in sources:
        fill = _VOLUME_DEFAULTS.get(name)
        if fill is not None:
            fill(getattr(volume, name))


def _default_mode(source: Any) -> None:
    if source.defaultMode is None:
        source.defaultMode = FILE_MODE


def _default_downward(source: Any) -> None:
    _default_mode(source)
    _default_files(source.items)


def _default_files(files: Iterable[Any] | None) -> None:
    for file in files or ():
        _default_field_ref(file.fieldRef)


def _default_projected(source: Any) -> None:
    _default_mode(source)
    for projection in source.sources or ():
        if projection.downwardAPI is not None:
            _default_files(projection.downwardAPI.items)
        token = projection.serviceAccountToken
        if token is not None and token.expirationSeconds is None:
            token.expirationSeconds = TOKEN_SECONDS
        certificate = projection.podCertificate
        if certificate is not None and certificate.maxExpirationSeconds is None:
            certificate.maxExpirationSeconds = 24 * 3600


def _default_host_path(source: Any) -> None:
    if source.type is None:
        source.type = ""


def _default_iscsi(source: Any) -> None:
    source.iscsiInterface = source.iscsiInterface or "default"


def _default_rbd(source: Any) -> None:
    source.pool = source.pool or "rbd"
    source.user = source.user or "admin"
    source.keyring = source.keyring or "/etc/ceph/keyring"


def _default_azure_disk(source: Any) -> None:
    for field, value in (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4"), ("readOnly", False)):
        if getattr(source, field) is None:
            setattr(source, field, value)


def _default_scale_io(source: Any) -> None:
    source.storageMode = source.storageMode or "ThinProvisioned"
    source.fsType = source.fsType or "xfs"


def default_claim_spec(spec: Any) -> None:
    """The PersistentVolumeClaimSpec of an ephemeral volume or a StatefulSet's claim template."""
    if spec.volumeMode is None:
        spec.volumeMode = "Filesystem"


def _default_ephemeral(source: Any) -> None:
    if source.volumeClaimTemplate is not None:
        default_claim_spec(source.volumeClaimTemplate.spec)


def _default_image(source: Any) -> None:
    if not source.pullPolicy:
        source.pullPolicy = default_pull_policy(source.reference or "")


_VOLUME_DEFAULTS = {
    "configMap": _default_mode,
    "secret": _default_mode,
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "hostPath": _default_host_path,
    "iscsi": _default_iscsi,
    "rbd": _default_rbd,
    "azureDisk": _default_azure_disk,
    "scaleIO": _default_scale_io,
    "ephemeral": _default_ephemeral,
    "image": _default_image,
}


def _request_limits(wanted: Any) -> None:
    """A container that limits a resource and says nothing else asks for as much as its limit."""
    if wanted.limits:
        wanted.requests = {**wanted.limits, **(wanted.requests or {})}


def _default_pod_requests(pod: Any) -> None:
    """Requests of the pod as a whole, for resources it limits: what its containers ask for, else the limit."""
    wanted = pod.spec.resources
    if not wanted.limits:
        return
    requests = dict(wanted.requests or {})
    for name, amount in aggregate_requests(pod.spec).items():
        if name in POD_LEVEL_RESOURCES:
            requests.setdefault(name, amount)
    for name, amount in wanted.limits.items():
        if name in POD_LEVEL_RESOURCES or resources.is_hugepages(name):
            requests.setdefault(name, amount)
    wanted.requests = requests or None
