"""Which other objects a pod names: its account, secrets, config maps and claims.

The node authorizer lets a node see what its pods name; NodeRestriction lets a mirror pod name nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["DRIVERS_WITH_SECRET", "driver_secrets", "pod_references"]

DRIVERS_WITH_SECRET = ("azureFile", "cephfs", "rbd", "scaleIO", "iscsi", "flexVolume", "storageos")
"""Fields of a volume whose driver may need a secret."""


def pod_references(pod: Any) -> Iterator[tuple[str, str]]:
    """(resource, name) of every object the pod refers to in its namespace."""
    spec = pod.spec
    if spec.serviceAccountName:
        yield "serviceaccounts", spec.serviceAccountName
    for secret in spec.imagePullSecrets or ():
        yield "secrets", secret.name or ""
    for container in (*(spec.containers or ()), *(spec.initContainers or ()), *(spec.ephemeralContainers or ())):
        yield from _container_references(container)
    for volume in spec.volumes or ():
        yield from _volume_references(pod, volume)
    for status in pod.status.resourceClaimStatuses or ():
        if status.resourceClaimName:
            yield "resourceclaims", status.resourceClaimName
    for claim in spec.resourceClaims or ():
        if claim.resourceClaimName:
            yield "resourceclaims", claim.resourceClaimName


def _container_references(container: Any) -> Iterator[tuple[str, str]]:
    for variable in container.env or ():
        source = variable.valueFrom
        if source and source.secretKeyRef:
            yield "secrets", source.secretKeyRef.name or ""
        if source and source.configMapKeyRef:
            yield "configmaps", source.configMapKeyRef.name or ""
    for source in container.envFrom or ():
        if source.secretRef:
            yield "secrets", source.secretRef.name or ""
        if source.configMapRef:
            yield "configmaps", source.configMapRef.name or ""


def _volume_references(pod: Any, volume: Any) -> Iterator[tuple[str, str]]:
    if volume.secret:
        yield "secrets", volume.secret.secretName or ""
    if volume.configMap:
        yield "configmaps", volume.configMap.name or ""
    if volume.persistentVolumeClaim:
        yield "persistentvolumeclaims", volume.persistentVolumeClaim.claimName
    if volume.ephemeral:
        yield "persistentvolumeclaims", f"{pod.metadata.name}-{volume.name}"
    if volume.csi and volume.csi.nodePublishSecretRef:
        yield "secrets", volume.csi.nodePublishSecretRef.name or ""
    for source in (volume.projected.sources or ()) if volume.projected else ():
        if source.secret:
            yield "secrets", source.secret.name or ""
        if source.configMap:
            yield "configmaps", source.configMap.name or ""
    for driver in DRIVERS_WITH_SECRET:
        yield from (("secrets", name) for _, name in driver_secrets(getattr(volume, driver, None), ""))


def driver_secrets(source: Any, namespace: str) -> Iterator[tuple[str, str]]:
    """The in-tree drivers name their secret in two ways."""
    reference = getattr(source, "secretRef", None)
    if reference is not None and reference.name:
        yield getattr(reference, "namespace", None) or namespace, reference.name
    if name := getattr(source, "secretName", None):
        yield getattr(source, "secretNamespace", None) or namespace, name
