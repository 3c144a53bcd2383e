"""DynamicResources: devices for the ResourceClaims of a pod, chosen together with its node.

What a claim is given is decided in the filter, remembered in `reserve`, and written to the claim's
status before the pod is bound. A claim that has its devices already only says on which nodes they can be reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import attrs

from kybern.api.errors import StatusError
from kybern.reconcile.owners import controller_of
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import (
    SKIP,
    Action,
    Code,
    CycleState,
    Handle,
    Hint,
    Nomination,
    Policy,
    Resource,
    Status,
    normalized,
)
from kybern.scheduler.selection import NodeTerm
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern_scheduler_policies.claim_writing import BindingFailed, ClaimWriter, failed_condition
from kybern_scheduler_policies.device_allocation import NoDevices, choose
from kybern_scheduler_policies.device_pools import Pools, Usage
from kybern_scheduler_policies.device_results import allocation_of
from kybern_scheduler_policies.device_selectors import SelectorError
from kybern_scheduler_policies.extended_resources import ANNOTATION, DeviceClasses, Mapped, claim_for, lacking
from kybern_scheduler_policies.resource_scoring import only_fields, read_seconds

RESERVED_MAX = 256
ALTERNATIVES_MAX = 8


@attrs.define(eq=False)
class _Plan:
    """What a pod would get on one node."""

    allocations: dict[str, Any] = attrs.Factory(dict)
    """AllocationResult by uid of claim."""
    extended: Any = None
    """The claim for its extended resources, to be made; its allocation is `""`'s."""
    mapped: list[Mapped] = attrs.Factory(list)
    score: int = 0


@attrs.define(eq=False)
class _Claims:
    """The pod's claims, and the plans for them."""

    claims: list[Any]
    served: dict[str, str]
    """DeviceClass by extended resource."""
    plans: dict[str, _Plan] = attrs.Factory(dict)
    unavailable: dict[str, Any] = attrs.Factory(dict)
    """Claims whose devices some node cannot reach."""
    written: bool = False
    made: Any = None
    """The claim for extended resources, once it is on the server."""


class DynamicResources(Policy):
    """Filters by devices, and allocates them."""

    name = "DynamicResources"
    weight = 2
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """DynamicResourcesArgs: bindingTimeout (10m), how long drivers may take to prepare devices that have
        binding conditions. `filterTimeout` is accepted: the search is bounded by steps instead."""
        super().__init__(args, handle)
        only_fields(args, {"bindingTimeout", "filterTimeout"}, "DynamicResourcesArgs")
        self._timeout = read_seconds(args.get("bindingTimeout"), 600.0, "bindingTimeout")
        from kybern.api.core import Pod
        from kybern.api.resource import DeviceTaintRule, ResourceClaim, ResourceSlice

        self._classes = DeviceClasses(handle)
        self._claims = handle.informer(ResourceClaim)
        self._claims.on_change(self._claim_changed)
        self._slices, self._rules = handle.informer(ResourceSlice), handle.informer(DeviceTaintRule)
        for informer in (self._slices, self._rules):
            informer.on_change(self._pools_changed)
        self._classes.on_change(self._wake)
        handle.informer(Pod).on_change(self._pod_gone)
        self._pools: Pools | None = None
        self._writer = ClaimWriter(handle)
        self._promised: dict[str, tuple[str, Any]] = {}
        """Allocations on their way to the server: uid of claim -> (uid of pod, AllocationResult)."""
        self._rejected: set[str] = set()

    def hints(self) -> Iterable[Hint]:
        """Changes of claims, slices and classes wake pods by `activate`; beyond that a new node may have devices."""
        return (
            Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_LABEL),
            Hint(Resource.TARGET_POD, Action.UPDATE_POD_GENERATED_CLAIM),
        )

    def _claim_changed(self, old: Any, new: Any) -> None:
        if new is not None and new.metadata.uid in self._promised and new.status.allocation is not None:
            del self._promised[new.metadata.uid]
        self._writer.changed(new if new is not None else old)
        self._wake()

    def _pools_changed(self, old: Any, new: Any) -> None:
        self._pools = None
        self._wake()

    def _wake(self) -> None:
        waiting, self._rejected = self._rejected, set()
        for uid in waiting:
            self.handle.activate(uid)

    def _pod_gone(self, old: Any, new: Any) -> None:
        if new is None:
            self._rejected.discard(old.metadata.uid)

    def _reject(self, pod: PodInfo, why: str) -> Status:
        self._rejected.add(pod.uid)
        return self.unresolvable(why)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """A pod waits until its claims are there."""
        for each in pod.pod.spec.resourceClaims or ():
            _, why = self._claim(pod, each)
            if why:
                return self._reject(pod, why)
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """All claims must exist, be the pod's to use, and ask for classes that exist."""
        served = self._classes.serve(pod) if any("/" in name for name in pod.requests) else {}
        if not pod.pod.spec.resourceClaims and not served:
            return SKIP
        found, why = self._usable(pod)
        if why:
            return self._reject(pod, why)
        if served and (stale := self._stale(pod)) is not None:
            self.handle.spawn(self._writer.remove(stale, pod))
            return self._reject(pod, "cannot schedule extended resource claim")
        state.data[self.name] = _Claims(found, served)
        return None if found or served else SKIP

    def _stale(self, pod: PodInfo) -> Any:
        """A claim for the pod's extended resources that is left from an attempt that did not end well."""
        for claim in self._claims.list():
            owner = controller_of(claim)
            ours = owner is not None and owner.uid == pod.uid
            if ours and (claim.metadata.annotations or {}).get(ANNOTATION) == "true":
                return claim
        return None

    def _usable(self, pod: PodInfo) -> tuple[list[Any], str]:
        """The pod's claims, or what is wrong with one of them."""
        found = []
        for each in pod.pod.spec.resourceClaims or ():
            claim, why = self._claim(pod, each)
            why = why or (self._wrong_with(claim, pod) if claim is not None else "")
            if why:
                return [], why
            if claim is not None:
                found.append(claim)
        return found, ""

    def _claim(self, pod: PodInfo, wanted: Any) -> tuple[Any, str]:
        """The claim behind one of the pod's entries (None: none is needed), or why it cannot be used."""
        name = _claim_name(pod.pod, wanted)
        if name is None:
            why = f"waiting for dynamic resource controller to create the resourceclaim {wanted.name}"
            return None, why
        if not name:
            return None, ""
        claim: Any = self._claims.get(name, pod.namespace)
        if claim is None:
            return None, f'resourceclaim "{name}" not found'
        if claim.metadata.deletionTimestamp:
            return None, f'resourceclaim "{name}" is being deleted'
        owner = controller_of(claim)
        if wanted.resourceClaimTemplateName is not None and (owner is None or owner.uid != pod.uid):
            place = f"{pod.namespace}/{name}"
            return None, f"ResourceClaim {place} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
        return claim, ""

    def _wrong_with(self, claim: Any, pod: PodInfo) -> str:
        """Why a claim that is there cannot be used now."""
        reserved = claim.status.reservedFor or ()
        if len(reserved) >= RESERVED_MAX and not any(r.uid == pod.uid for r in reserved):
            return "resourceclaim in use"
        allocation = claim.status.allocation
        if allocation is not None and self._all_pools().drives_out(allocation):
            return f"resourceclaim {claim.metadata.name} has a device with a taint that is not tolerated"
        if allocation is None:
            promised = self._promised.get(claim.metadata.uid)
            if promised is not None and promised[0] != pod.uid:
                return f"resourceclaim {claim.metadata.name} is in the process of being allocated"
            for class_name in _class_names(claim):
                if self._classes.get(class_name) is None:
                    return f"request refers to device class {class_name}, which does not exist"
        return ""

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where the pod's devices cannot be reached, or none are left for it."""
        found: _Claims = state.data[self.name]
        pending = []
        for claim in found.claims:
            if claim.status.allocation is None:
                pending.append(claim)
            elif not _reaches(claim.status.allocation.nodeSelector, info) or failed_condition(claim):
                found.unavailable[claim.metadata.uid] = claim
                return self._reject(pod, "resourceclaim not available on the node")
        plan = _Plan()
        if wanted := lacking(found.served, info):
            plan.extended, plan.mapped = claim_for(pod.pod, wanted)
            pending.append(plan.extended)
        if pending:
            objection = self._allocate(plan, pending, pod, info)
            if objection is not None:
                return objection
        found.plans[info.name] = plan
        return None

    def _allocate(self, plan: _Plan, pending: list[Any], pod: PodInfo, info: NodeInfo) -> Status | None:
        there, used = self._all_pools().offer(info), self._used(pod)
        for claim in pending:
            classes = {name: self._classes.get(name) for name in _class_names(claim)}
            try:
                chosen = choose(claim, classes, there, used)
            except NoDevices:
                self._rejected.add(pod.uid)
                return self.unschedulable("cannot allocate all claims")
            except SelectorError as error:
                return self._reject(pod, f"claim {claim.metadata.name}: selector: {error}")
            allocation = allocation_of(claim, classes, chosen, self._new_id)
            plan.allocations[claim.metadata.uid or ""] = allocation
            ranks = {each.wish.request: each.wish.rank for each in chosen if "/" in each.wish.request}
            plan.score += sum(ALTERNATIVES_MAX - rank for rank in ranks.values())
            used.add(allocation)
        return None

    def _all_pools(self) -> Pools:
        if self._pools is None:
            self._pools = Pools(self._slices.list(), self._rules.list())
        return self._pools

    def _new_id(self) -> str:
        return str(UUID(int=self.handle.random.getrandbits(128), version=4))

    def _used(self, pod: PodInfo) -> Usage:
        used = Usage()
        for claim in self._claims.list():
            used.add(claim.status.allocation)
        for owner, allocation in self._promised.values():
            if owner != pod.uid:
                used.add(allocation)
        return used

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status], absent: Status
    ) -> tuple[Nomination | None, Status | None]:
        """A claim whose devices are where the pod cannot go, and that nobody else uses, may get others."""
        found: _Claims | None = state.data.get(self.name)
        if found is None or not (found.claims or found.served):
            return None, self.unschedulable("no new claims to deallocate")
        for claim in found.unavailable.values():
            if all(consumer.uid == pod.uid for consumer in claim.status.reservedFor or ()):
                self.handle.spawn(self._writer.give_back([claim], pod))
                return None, self.unschedulable("deallocation of ResourceClaim completed")
        return None, self.unschedulable("still not schedulable")

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """Nodes differ by which alternatives they can serve."""
        found: _Claims | None = state.data.get(self.name)
        return None if found is not None and any(plan.score for plan in found.plans.values()) else SKIP

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """The more of what the pod's claims like best, the better."""
        found: _Claims = state.data[self.name]
        return found.plans[info.name].score

    def normalize(self, state: CycleState, pod: PodInfo, infos: Candidates, scores: Any) -> Any:
        """The best node gets all points."""
        return normalized(scores)

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Keep the devices from other pods until the claims say it."""
        found: _Claims | None = state.data.get(self.name)
        for uid, allocation in found.plans[node].allocations.items() if found is not None else ():
            self._promised[uid or pod.uid] = (pod.uid, allocation)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Give the devices back, also those that were written down already."""
        found: _Claims | None = state.data.get(self.name)
        for uid in [uid for uid, (owner, _) in self._promised.items() if owner == pod.uid]:
            del self._promised[uid]
        if found is not None and found.written:
            found.written = False
            self.handle.spawn(self._writer.give_back(found.claims, pod))
            if found.made is not None:
                self.handle.spawn(self._writer.remove(found.made, pod))

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Write the allocations, reserve the claims for the pod, and wait for drivers that have to prepare devices."""
        found: _Claims | None = state.data.get(self.name)
        if found is None:
            return None
        found.written = True
        plan = found.plans[node]
        try:
            claims = list(found.claims)
            if plan.extended is not None:
                claims.append(await self._make_extended(found, plan, pod))
            written = [
                await self._writer.allocate(claim, plan.allocations.get(claim.metadata.uid), pod) for claim in claims
            ]
            if plan.extended is not None:
                await self._show_extended(written[-1], plan, pod)
            await self.handle.clock.wait_for(self._writer.prepared(written), self._timeout)
        except StatusError as error:
            return Status(Code.ERROR, (f"reserving ResourceClaim: {error.message}",), self.name)
        except BindingFailed as error:
            return self._reject(pod, str(error))
        except TimeoutError:
            return self._reject(pod, "device binding timeout")
        return None

    async def _make_extended(self, found: _Claims, plan: _Plan, pod: PodInfo) -> Any:
        found.made = await self.handle.client.create(plan.extended)
        uid = found.made.metadata.uid
        plan.allocations[uid] = plan.allocations.pop("")
        self._promised.pop(pod.uid, None)
        self._promised[uid] = (pod.uid, plan.allocations[uid])
        return found.made

    async def _show_extended(self, claim: Any, plan: _Plan, pod: PodInfo) -> None:
        told = {
            "resourceClaimName": claim.metadata.name,
            "requestMappings": [line._asdict() for line in plan.mapped],
        }
        patch = {"metadata": {"uid": pod.uid}, "status": {"extendedResourceClaimStatus": told}}
        await self.handle.client.patch(
            type(pod.pod), pod.name, pod.namespace, patch, type="strategic", subresource="status"
        )


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
