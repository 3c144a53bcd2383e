"""Ephemeral volumes: makes the claim that a pod's own `volumeClaimTemplate` describes.

The claim is named after pod and volume and owned by the pod, so that the garbage collector takes it
with the pod. A claim of that name which is someone else's is left alone, and the pod waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern.api import types
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.owners import controller_of, controller_reference


class EphemeralVolumeController(Controller):
    """Creates claims for pods."""

    name = "ephemeral-volume"
    event_source = "ephemeral_volume"

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolumeClaim, Pod

        self.client, self.events = context.client, context.events
        self.pods = context.watch(Pod, on=lambda old, new: new is not None and any(_volumes(new)))
        self.claims = context.watch(PersistentVolumeClaim, _pod_of, on=lambda old, new: new is None)

    async def reconcile(self, key: Key) -> None:
        pod: Any = self.pods.get(key.name, key.namespace)
        if pod is None or pod.metadata.deletionTimestamp:
            return
        for volume in _volumes(pod):
            await self._ensure(pod, volume)

    async def _ensure(self, pod: Any, volume: Any) -> None:
        name = f"{pod.metadata.name}-{volume.name}"
        existing: Any = self.claims.get(name, pod.metadata.namespace)
        if existing is None:
            await self.client.create(claim_for(pod, volume))
            return
        reference = controller_of(existing)
        if reference is None or reference.uid != pod.metadata.uid:
            place = f"{pod.metadata.namespace}/{name}"
            owner = f"{pod.metadata.namespace}/{pod.metadata.name}"
            raise RuntimeError(f"PVC {place} was not created for pod {owner} (pod is not owner)")


def claim_for(pod: Any, volume: Any) -> Any:
    """The claim of one of the pod's volumes."""
    from kybern.api.core import PersistentVolumeClaim
    from kybern.api.meta import ObjectMeta

    template = volume.ephemeral.volumeClaimTemplate
    metadata = template.metadata
    return PersistentVolumeClaim(
        metadata=ObjectMeta(
            name=f"{pod.metadata.name}-{volume.name}",
            namespace=pod.metadata.namespace,
            labels=dict(metadata.labels or {}) or None,
            annotations=dict(metadata.annotations or {}) or None,
            ownerReferences=[controller_reference(pod)],
        ),
        spec=types.copy(template.spec),
    )


def _volumes(pod: Any) -> Iterator[Any]:
    for volume in pod.spec.volumes or ():
        if volume.ephemeral is not None and volume.ephemeral.volumeClaimTemplate is not None:
            yield volume


def _pod_of(claim: Any) -> Iterator[Key]:
    reference = controller_of(claim)
    if reference is not None and reference.kind == "Pod":
        yield Key(claim.metadata.namespace, reference.name)
