"""Whether a pod's volumes can be had: what they refer to must exist before containers start."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kybern.api.storage.classes import claims_of
from kybern.node.sources import Sources

__all__ = ["missing_volume", "unattached_volumes"]

_MAX_AGE = 30.0
"""That an object exists may be known from so long ago; that it does not is asked anew."""


async def missing_volume(pod: Any, sources: Sources) -> str:
    """What is wrong with the first volume that cannot be set up, in the kubelet's words; "" when all can."""
    if problem := await _problem_of_claim(pod, sources):
        return problem
    for volume in pod.spec.volumes or ():
        for kind, reference in _references(volume):
            if problem := await _problem(pod, kind, reference, sources):
                return f'MountVolume.SetUp failed for volume "{volume.name}" : {problem}'
    return ""


async def _problem_of_claim(pod: Any, sources: Sources) -> str:
    """Only a pod that came past the scheduler finds its claims unbound."""
    from kybern.api.core import PersistentVolumeClaim

    for name in claims_of(pod):
        namespace = pod.metadata.namespace
        claim: Any = await sources.get(PersistentVolumeClaim, namespace, name)
        if claim is not None and claim.status.phase == "Bound":
            continue
        why = "PVC is not bound" if claim is not None else _no_claim(name)
        return f"Unable to attach or mount volumes: error processing PVC {namespace}/{name}: {why}"
    return ""


def _no_claim(name: str) -> str:
    return f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found'


async def unattached_volumes(pod: Any, node: Any, drivers: Collection[str], sources: Sources) -> list[str]:
    """The claims of the pod whose volumes are yet to be attached to the node, by one of the drivers it knows."""
    names = list(claims_of(pod))
    if not names or not drivers:
        return []
    from kybern.api.core import PersistentVolume, PersistentVolumeClaim
    from kybern.api.storage import CSIDriver

    found = []
    attached = {volume.name for volume in node.status.volumesAttached or ()}
    for name in names:
        claim: Any = await sources.get(PersistentVolumeClaim, pod.metadata.namespace, name)
        volume: Any = await sources.get(PersistentVolume, "", claim.spec.volumeName) if claim is not None else None
        csi = volume.spec.csi if volume is not None else None
        if csi is None or csi.driver not in drivers or f"kubernetes.io/csi/{csi.driver}^{csi.volumeHandle}" in attached:
            continue
        driver: Any = await sources.get(CSIDriver, "", csi.driver)
        if driver is not None and driver.spec.attachRequired is not False:
            found.append(name)
    return found


def _references(volume: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if volume.configMap is not None:
        found.append(("ConfigMap", volume.configMap))
    if volume.secret is not None:
        found.append(("Secret", volume.secret))
    for source in (volume.projected.sources if volume.projected is not None else None) or ():
        if source.configMap is not None:
            found.append(("ConfigMap", source.configMap))
        if source.secret is not None:
            found.append(("Secret", source.secret))
    return found


async def _problem(pod: Any, kind: str, reference: Any, sources: Sources) -> str:
    from kybern.api.core import ConfigMap, Secret

    name = getattr(reference, "secretName", None) or getattr(reference, "name", None) or ""
    if reference.optional:
        return ""
    namespace = pod.metadata.namespace
    struct: type[Any] = ConfigMap if kind == "ConfigMap" else Secret
    found: Any = await sources.get(struct, namespace, name, _MAX_AGE)
    if found is None:
        return f'{kind.lower()} "{name}" not found'
    keys = {*(found.data or ()), *(getattr(found, "binaryData", None) or ())}
    for item in reference.items or ():
        if item.key not in keys:
            return f"{kind.lower()} references non-existent {kind.lower()} key: {item.key}"
    return ""
