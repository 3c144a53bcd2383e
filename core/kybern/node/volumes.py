"""Whether a pod's volumes can be had: what they refer to must exist before containers start."""

from __future__ import annotations

from typing import Any

from kybern.node.sources import Sources

__all__ = ["missing_volume"]

_MAX_AGE = 30.0
"""That an object exists may be known from so long ago; that it does not is asked anew."""


async def missing_volume(pod: Any, sources: Sources) -> str:
    """What is wrong with the first volume that cannot be set up, in the kubelet's words; "" when all can."""
    for volume in pod.spec.volumes or ():
        for kind, reference in _references(volume):
            if problem := await _problem(pod, kind, reference, sources):
                return f'MountVolume.SetUp failed for volume "{volume.name}" : {problem}'
    return ""


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
