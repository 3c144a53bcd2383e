"""DynamicResources: devices for the ResourceClaims of a pod, chosen together with its node.

What a claim is given is decided in the filter, remembered in `reserve`, and written to the claim's
status before the pod is bound. A claim that has its devices already only says on which nodes they can be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.reconcile.owners import controller_of
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, Code, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.selection import NodeTerm
from kybern.scheduler.snapshot import Snapshot
from kybern_scheduler_policies.device_allocation import Identity, NoDevices, allocate, candidates, identities
from kybern_scheduler_policies.device_selectors import SelectorError

FINALIZER = "resource.kubernetes.io/delete-protection"
RESERVED_MAX = 256
TRIES = 5


class _Claims:
    """The pod's claims, and what those without devices would get on each node."""

    __slots__ = ("claims", "plans", "written")

    def __init__(self, claims: list[Any]) -> None:
        self.claims = claims
        self.plans: dict[str, dict[str, Any]] = {}
        """By node: AllocationResult by uid of claim."""
        self.written = False


class DynamicResources(Policy):
    """Filters by devices, and allocates them."""

    name = "DynamicResources"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        super().__init__(args, handle)
        from kybern.api.core import Pod
        from kybern.api.resource import DeviceClass, ResourceClaim, ResourceSlice

        self._claims = handle.informer(ResourceClaim)
        self._slices = handle.informer(ResourceSlice)
        self._classes = handle.informer(DeviceClass)
        self._promised: dict[str, tuple[str, Any]] = {}
        """Allocations on their way to the server: uid of claim -> (uid of pod, AllocationResult)."""
        self._rejected: set[str] = set()
        for informer in (self._claims, self._slices, self._classes):
            informer.on_change(self._something_changed)
        handle.informer(Pod).on_change(self._pod_changed)

    def hints(self) -> Iterable[Hint]:
        """Changes of claims, slices and classes wake pods by `activate`; beyond that a new node may have devices."""
        return (Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_LABEL),)

    def _something_changed(self, old: Any, new: Any) -> None:
        if new is not None and new.metadata.uid in self._promised and getattr(new.status, "allocation", None):
            del self._promised[new.metadata.uid]
        waiting, self._rejected = self._rejected, set()
        for uid in waiting:
            self.handle.activate(uid)

    def _pod_changed(self, old: Any, new: Any) -> None:
        if old is None:
            return
        uid = old.metadata.uid
        if new is None:
            self._rejected.discard(uid)
        elif uid in self._rejected and old.status.resourceClaimStatuses != new.status.resourceClaimStatuses:
            self._rejected.discard(uid)
            self.handle.activate(uid)

    def _reject(self, pod: PodInfo, why: str) -> Status:
        self._rejected.add(pod.uid)
        return self.unresolvable(why)

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """All claims must exist, be the pod's to use, and ask for classes that exist."""
        if not pod.pod.spec.resourceClaims:
            return SKIP
        found = []
        for each in pod.pod.spec.resourceClaims:
            name = _claim_name(pod.pod, each)
            if name is None:
                return self._reject(
                    pod, f"waiting for dynamic resource controller to create the resourceclaim {each.name}"
                )
            if not name:
                continue
            claim = self._claims.get(name, pod.namespace)
            why = self._wrong_with(claim, name, pod, generated=each.resourceClaimTemplateName is not None)
            if why:
                return self._reject(pod, why)
            found.append(claim)
        state.data[self.name] = _Claims(found)
        return None if found else SKIP

    def _wrong_with(self, claim: Any, name: str, pod: PodInfo, *, generated: bool) -> str:
        if claim is None:
            return f'resourceclaim "{name}" not found'
        if claim.metadata.deletionTimestamp:
            return f'resourceclaim "{name}" is being deleted'
        owner = controller_of(claim)
        if generated and (owner is None or owner.uid != pod.uid):
            place = f"{pod.namespace}/{name}"
            return f"ResourceClaim {place} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
        reserved = claim.status.reservedFor or ()
        if len(reserved) >= RESERVED_MAX and not any(r.uid == pod.uid for r in reserved):
            return "resourceclaim in use"
        if claim.status.allocation is None:
            promised = self._promised.get(claim.metadata.uid)
            if promised is not None and promised[0] != pod.uid:
                return f"resourceclaim {name} is in the process of being allocated"
            for class_name in _class_names(claim):
                if self._classes.get(class_name) is None:
                    return f"request refers to device class {class_name}, which does not exist"
        return ""

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where the pod's devices cannot be reached, or none are left for it."""
        found: _Claims = state.data[self.name]
        plan: dict[str, Any] = {}
        pending = []
        for claim in found.claims:
            if claim.status.allocation is None:
                pending.append(claim)
            elif not _reaches(claim.status.allocation.nodeSelector, info):
                return self._reject(pod, "resourceclaim not available on the node")
        taken = self._taken(pod) if pending else set()
        there = candidates(self._slices.list(), info) if pending else []
        for claim in pending:
            classes = {name: self._classes.get(name) for name in _class_names(claim)}
            try:
                plan[claim.metadata.uid] = allocate(claim, classes, there, taken)
            except NoDevices:
                self._rejected.add(pod.uid)
                return self.unschedulable("cannot allocate all claims")
            except SelectorError as error:
                return self._reject(pod, f"claim {claim.metadata.name}: selector: {error}")
            taken |= set(identities(plan[claim.metadata.uid]))
        found.plans[info.name] = plan
        return None

    def _taken(self, pod: PodInfo) -> set[Identity]:
        allocations = [claim.status.allocation for claim in self._claims.list()]
        allocations += [allocation for owner, allocation in self._promised.values() if owner != pod.uid]
        return {identity for allocation in allocations for identity in identities(allocation)}

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Keep the devices from other pods until the claims say it."""
        found: _Claims | None = state.data.get(self.name)
        for uid, allocation in found.plans.get(node, {}).items() if found is not None else ():
            self._promised[uid] = (pod.uid, allocation)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Give the devices back, also those that were written down already."""
        found: _Claims | None = state.data.get(self.name)
        for uid in [uid for uid, (owner, _) in self._promised.items() if owner == pod.uid]:
            del self._promised[uid]
        if found is not None and found.written:
            found.written = False
            self.handle.spawn(self._give_back(found.claims, pod))

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Write the allocations and reserve the claims for the pod."""
        found: _Claims | None = state.data.get(self.name)
        if found is None:
            return None
        found.written = True
        plan = found.plans.get(node, {})
        try:
            for claim in found.claims:
                await self._write(claim, plan.get(claim.metadata.uid), pod)
        except StatusError as error:
            return Status(Code.ERROR, (f"reserving ResourceClaim: {error.message}",), self.name)
        return None

    async def _write(self, claim: Any, allocation: Any, pod: PodInfo) -> None:
        for _ in range(TRIES):
            try:
                await self._write_once(claim, allocation, pod)
                return
            except StatusError as error:
                if error.reason != "Conflict":
                    raise
            claim = await self._fresh(claim)
        raise StatusError.conflict("resourceclaims", "resource.k8s.io", claim.metadata.name)

    async def _write_once(self, claim: Any, allocation: Any, pod: PodInfo) -> None:
        from kybern.api.resource import ResourceClaimConsumerReference

        if claim.status.allocation is None and allocation is None:
            raise StatusError(500, "InternalError", f"claim {claim.metadata.name} lost its devices")
        if claim.status.allocation is None and FINALIZER not in (claim.metadata.finalizers or ()):
            claim = types.copy(claim)
            claim.metadata.finalizers = [*(claim.metadata.finalizers or ()), FINALIZER]
            claim = await self.handle.client.update(claim)
        changed = types.copy(claim)
        if changed.status.allocation is None:
            changed.status.allocation = allocation
        elif allocation is not None and identities_differ(changed.status.allocation, allocation):
            raise StatusError(500, "InternalError", f"claim {claim.metadata.name} was given other devices meanwhile")
        reserved = changed.status.reservedFor or []
        if not any(r.uid == pod.uid for r in reserved):
            reference = ResourceClaimConsumerReference(resource="pods", name=pod.name, uid=pod.uid)
            changed.status.reservedFor = [*reserved, reference]
        if changed.status != claim.status:
            await self.handle.client.update_status(changed)

    async def _give_back(self, claims: Iterable[Any], pod: PodInfo) -> None:
        """The pod does not go there after all; a claim that nobody else has reserved is free to go elsewhere."""
        for claim in claims:
            for _ in range(TRIES):
                try:
                    await self._give_back_one(await self._fresh(claim), pod)
                    break
                except StatusError as error:
                    if error.code == 404:
                        break
                    if error.reason != "Conflict":
                        raise

    async def _give_back_one(self, claim: Any, pod: PodInfo) -> None:
        changed = types.copy(claim)
        changed.status.reservedFor = [r for r in claim.status.reservedFor or () if r.uid != pod.uid] or None
        if not changed.status.reservedFor:
            changed.status.allocation = None
        if changed.status != claim.status:
            await self.handle.client.update_status(changed)

    async def _fresh(self, claim: Any) -> Any:
        metadata = claim.metadata
        fresh: Any = await self.handle.client.get(type(claim), metadata.name, metadata.namespace)
        if fresh.metadata.uid != metadata.uid:
            raise StatusError.not_found("resourceclaims", "resource.k8s.io", metadata.name)
        return fresh


def identities_differ(one: Any, other: Any) -> bool:
    """Whether two allocations are of different devices."""
    return set(identities(one)) != set(identities(other))


def _claim_name(pod: Any, wanted: Any) -> str | None:
    """The claim behind one of the pod's entries; None: not made yet; "": none is needed."""
    if wanted.resourceClaimTemplateName is None:
        return str(wanted.resourceClaimName or "")
    for status in pod.status.resourceClaimStatuses or ():
        if status.name == wanted.name:
            return status.resourceClaimName or ""
    return None


def _class_names(claim: Any) -> Iterator[str]:
    devices = claim.spec.devices
    for request in (devices.requests if devices is not None else None) or ():
        if request.exactly is not None:
            yield request.exactly.deviceClassName
        for sub in request.firstAvailable or ():
            yield sub.deviceClassName


def _reaches(selector: Any, info: NodeInfo) -> bool:
    if selector is None:
        return True
    return any(NodeTerm(term).matches(info) for term in selector.nodeSelectorTerms or ())
