"""ResourceClaims of pods: makes those that pods have templates for, and frees devices that nobody uses any more.

The scheduler allocates devices to a claim and reserves it for pods. This controller takes pods that
are done out of the reservation; when none is left, the devices are given back, and a claim that was made for
one pod goes. A key is that of a pod (prefix `pod:`) or of a claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.owners import controller_of, controller_reference
from kybern.reconcile.pods import is_finished

POD = "pod:"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
RESERVED_MAX = 256
FINALIZER = "resource.kubernetes.io/delete-protection"


def is_done(pod: Any) -> bool:
    """Whether the pod will never run (again)."""
    return is_finished(pod) or bool(pod.metadata.deletionTimestamp and not pod.spec.nodeName)


class ResourceClaimController(Controller):
    """Looks after claims."""

    name = "resource-claim"
    event_source = "resource_claim"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Pod
        from kybern.api.resource import ResourceClaim, ResourceClaimTemplate

        self.client, self.events = context.client, context.events
        self.pods = context.watch(Pod, _keys_of_pod, on=_concerns)
        self.pods.add_index("template", _templates_of)
        self.claims = context.watch(ResourceClaim, _keys_of_claim)
        self.claims.add_index("owner", lambda c: (o.uid,) if (o := controller_of(c)) is not None else ())
        self.templates = context.watch(ResourceClaimTemplate, self._pods_of_template)

    def _pods_of_template(self, template: Any) -> Iterable[Key]:
        metadata = template.metadata
        pods = self.pods.by_index("template", f"{metadata.namespace}/{metadata.name}")
        return [Key(metadata.namespace, f"{POD}{pod.metadata.name}") for pod in pods]

    async def reconcile(self, key: Key) -> None:
        if key.name.startswith(POD):
            pod: Any = self.pods.get(key.name.removeprefix(POD), key.namespace)
            if pod is not None and not is_done(pod) and not pod.metadata.deletionTimestamp:
                await self._make_claims(pod)
                if pod.spec.nodeName:
                    await self._reserve(pod)
            return
        claim: Any = self.claims.get(key.name, key.namespace)
        if claim is not None:
            await self._tend(claim)

    async def _make_claims(self, pod: Any) -> None:
        """Every claim that the pod has a template for, and their names in its status."""
        known = {s.name: s.resourceClaimName for s in pod.status.resourceClaimStatuses or ()}
        new: dict[str, str] = {}
        for each in pod.spec.resourceClaims or ():
            if each.resourceClaimTemplateName is None:
                continue
            name = known.get(each.name)
            if name is None or self.claims.get(name, pod.metadata.namespace) is None:
                new[each.name] = await self._make_claim(pod, each)
        new = {name: claim for name, claim in new.items() if known.get(name) != claim}
        if new:
            statuses = [{"name": name, "resourceClaimName": claim} for name, claim in new.items()]
            patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"resourceClaimStatuses": statuses}}
            metadata = pod.metadata
            await self.client.patch(
                type(pod), metadata.name, metadata.namespace, patch, type="strategic", subresource="status"
            )

    async def _reserve(self, pod: Any) -> None:
        """For a pod that came to its node past the scheduler; devices are only the scheduler's to allocate."""
        from kybern.api.resource import ResourceClaimConsumerReference

        for name in _claim_names(pod):
            claim: Any = self.claims.get(name, pod.metadata.namespace)
            if claim is None or claim.status.allocation is None or claim.metadata.deletionTimestamp:
                continue
            reserved = claim.status.reservedFor or []
            if len(reserved) >= RESERVED_MAX or any(c.uid == pod.metadata.uid for c in reserved):
                continue
            changed, metadata = types.copy(claim), pod.metadata
            mine = ResourceClaimConsumerReference(resource="pods", name=metadata.name, uid=metadata.uid)
            changed.status.reservedFor = [*reserved, mine]
            await self.client.update_status(changed)

    async def _make_claim(self, pod: Any, wanted: Any) -> str:
        """Its name. One that was made before, by us and without being written down, is taken."""
        for existing in self.claims.by_index("owner", pod.metadata.uid):
            if (existing.metadata.annotations or {}).get(POD_CLAIM) == wanted.name:
                return str(existing.metadata.name)
        template: Any = self.templates.get(wanted.resourceClaimTemplateName, pod.metadata.namespace)
        if template is None:
            missing = f'resourceclaimtemplate.resource.k8s.io "{wanted.resourceClaimTemplateName}" not found'
            text = f"PodResourceClaim {wanted.name}: {missing}"
            self.events.event(pod, "Warning", "FailedResourceClaimCreation", text)
            raise RuntimeError(text)
        # The cache may not show yet what we made a moment ago: the server is asked before a claim is made.
        for existing in (await self.client.list(type(self._blank()), pod.metadata.namespace)).items:
            owner = controller_of(existing)
            named = (existing.metadata.annotations or {}).get(POD_CLAIM) == wanted.name
            if owner is not None and owner.uid == pod.metadata.uid and named:
                return str(existing.metadata.name)
        made = await self.client.create(claim_for(pod, wanted.name, template))
        return str(made.metadata.name)

    @staticmethod
    def _blank() -> Any:
        from kybern.api.resource import ResourceClaim

        return ResourceClaim()

    async def _tend(self, claim: Any) -> None:
        """Take pods that are done out of the reservation; free and remove what is not needed."""
        reserved = claim.status.reservedFor or []
        kept = [consumer for consumer in reserved if await self._still_uses(claim, consumer)]
        protected = FINALIZER in (claim.metadata.finalizers or ())
        free = not kept and protected and (bool(reserved) or bool(claim.metadata.deletionTimestamp))
        if kept != reserved or (free and claim.status.allocation is not None):
            changed = types.copy(claim)
            changed.status.reservedFor = kept or None
            if free:
                changed.status.allocation = changed.status.devices = None
            claim = await self.client.update_status(changed)
        if protected and not kept and claim.status.allocation is None:
            changed = types.copy(claim)
            changed.metadata.finalizers = [f for f in claim.metadata.finalizers or () if f != FINALIZER] or None
            claim = await self.client.update(changed)
        if not kept and not claim.metadata.deletionTimestamp and self._owner_is_done(claim):
            await self._delete(claim)

    async def _still_uses(self, claim: Any, consumer: Any) -> bool:
        """Only what the server itself says is gone is gone."""
        if consumer.resource != "pods" or consumer.apiGroup:
            return True
        namespace = claim.metadata.namespace
        pod: Any = self.pods.get(consumer.name, namespace)
        if pod is None or pod.metadata.uid != consumer.uid:
            pod = await self._fresh_pod(consumer.name, namespace)
        return pod is not None and pod.metadata.uid == consumer.uid and not is_done(pod)

    async def _fresh_pod(self, name: str, namespace: str) -> Any:
        from kybern.api.core import Pod

        try:
            return await self.client.get(Pod, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    def _owner_is_done(self, claim: Any) -> bool:
        """The garbage collector sees to claims of pods that are gone."""
        owner = controller_of(claim)
        pod: Any = self.pods.get(owner.name, claim.metadata.namespace) if owner is not None else None
        return owner is not None and pod is not None and pod.metadata.uid == owner.uid and is_done(pod)

    async def _delete(self, claim: Any) -> None:
        metadata = claim.metadata
        try:
            await self.client.delete(type(claim), metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise


def claim_for(pod: Any, name: str, template: Any) -> Any:
    """The claim behind one of the pod's templates."""
    from kybern.api.meta import ObjectMeta
    from kybern.api.resource import ResourceClaim

    metadata = template.spec.metadata
    return ResourceClaim(
        metadata=ObjectMeta(
            generateName=f"{pod.metadata.name}-{name}-",
            namespace=pod.metadata.namespace,
            labels=dict(metadata.labels or {}) or None,
            annotations={**(metadata.annotations or {}), POD_CLAIM: name},
            ownerReferences=[controller_reference(pod)],
        ),
        spec=types.copy(template.spec.spec),
    )


def _keys_of_pod(pod: Any) -> Iterator[Key]:
    """The pod, and every claim that it may have a reservation of."""
    namespace = pod.metadata.namespace
    yield Key(namespace, f"{POD}{pod.metadata.name}")
    for name in _claim_names(pod):
        yield Key(namespace, name)
    extended = pod.status.extendedResourceClaimStatus
    if extended is not None:
        yield Key(namespace, extended.resourceClaimName)


def _claim_names(pod: Any) -> Iterator[str]:
    """The claims that the pod asks for, as far as they have names."""
    for status in pod.status.resourceClaimStatuses or ():
        if status.resourceClaimName:
            yield status.resourceClaimName
    for each in pod.spec.resourceClaims or ():
        if each.resourceClaimName:
            yield each.resourceClaimName


def _keys_of_claim(claim: Any) -> Iterator[Key]:
    namespace = claim.metadata.namespace
    yield Key(namespace, claim.metadata.name)
    owner = controller_of(claim)
    if owner is not None and owner.kind == "Pod":
        yield Key(namespace, f"{POD}{owner.name}")


def _templates_of(pod: Any) -> Iterator[str]:
    for each in pod.spec.resourceClaims or ():
        if each.resourceClaimTemplateName:
            yield f"{pod.metadata.namespace}/{each.resourceClaimTemplateName}"


def _concerns(old: Any, new: Any) -> bool:
    pod = new if new is not None else old
    if not pod.spec.resourceClaims and pod.status.extendedResourceClaimStatus is None:
        return False
    if old is None or new is None:
        return True
    if old.spec.nodeName != new.spec.nodeName:
        return True
    return is_done(old) != is_done(new) or old.status.resourceClaimStatuses != new.status.resourceClaimStatuses
