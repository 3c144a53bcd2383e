"""VolumeBinding: a pod's claims must be bound, or be able to be bound where the pod goes.

Claims of a class with WaitForFirstConsumer are bound when the node is known: this policy reserves a
fitting volume, or asks the provisioner for one by the claim's selected-node annotation, and holds
the pod's binding until the claim is bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from kybern.api.errors import StatusError
from kybern.api.storage.classes import class_of, storage_of
from kybern.api.storage.matching import SELECTED_NODE, best_match
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, Code, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern_scheduler_policies.resource_scoring import only_fields
from kybern_scheduler_policies.resource_strategies import RequestedToCapacityRatio, read_shape
from kybern_scheduler_policies.storage_capacity import StorageCapacities
from kybern_scheduler_policies.volume_claims import (
    NO_PROVISIONER,
    ClaimRef,
    Volumes,
    claims_of,
    is_bound,
    reaches,
)

REASON_UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
REASON_AFFINITY = "node(s) didn't match PersistentVolume's node affinity"
REASON_NONE = "node(s) didn't find available persistent volumes to bind"
REASON_FULL = "node(s) did not have enough free storage"
REASON_LOST = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


SHAPE = ((0, 10), (100, 0))
"""(utilization, score) of storage, unless the profile has another."""


class _Claims:
    """The pod's claims, sorted out."""

    __slots__ = ("bound", "delayed", "plans", "rooms")

    def __init__(self) -> None:
        self.bound: list[Any] = []
        self.delayed: list[Any] = []
        self.plans: dict[str, list[tuple[Any, Any]]] = {}
        """By node: (claim, volume to bind it to, or None to have one made)."""
        self.rooms: dict[str, dict[str, Fraction]] = {}
        """By node: how much storage there is for claims that have one made, by their uid."""


class VolumeBinding(Policy):
    """Filters by where volumes are, and binds claims that waited for the pod."""

    name = "VolumeBinding"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """VolumeBindingArgs: bindTimeoutSeconds (600), and `shape`: what each utilization of storage is worth (the
        emptier the better)."""
        super().__init__(args, handle)
        only_fields(args, {"bindTimeoutSeconds", "shape"}, "VolumeBindingArgs")
        timeout = args.get("bindTimeoutSeconds")
        self._timeout = 600.0 if timeout is None else float(timeout)
        if self._timeout < 0:
            raise ValueError(f"bindTimeoutSeconds: {timeout} must not be negative")
        shape = read_shape(args["shape"], "shape") if args.get("shape") else SHAPE
        self._worth = RequestedToCapacityRatio(shape)
        self._volumes = Volumes(handle)
        self._capacities = StorageCapacities(handle, self._volumes)
        self._reserved: dict[str, str] = {}
        """Volumes promised to claims that are about to be bound: volume name -> pod uid."""
        self._waiting: dict[str, asyncio.Event] = {}

        from kybern.api.core import PersistentVolumeClaim

        handle.informer(PersistentVolumeClaim).on_change(self._claim_changed)

    def hints(self) -> Iterable[Hint]:
        """Anything new about claims, volumes, classes or nodes."""
        return (
            Hint(Resource.PVC, Action.ADD | Action.UPDATE, _uses),
            Hint(Resource.PV, Action.ADD | Action.UPDATE),
            Hint(Resource.STORAGE_CLASS, Action.ADD | Action.UPDATE),
            Hint(Resource.NODE, Action.ADD | Action.UPDATE_NODE_LABEL),
            Hint(Resource.CSI_DRIVER, Action.UPDATE),
            Hint(Resource.CSI_STORAGE_CAPACITY, Action.ADD | Action.UPDATE),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """All claims must exist, and be bound unless they wait for the pod."""
        found = _Claims()
        unbound = False
        for ref in claims_of(pod):
            claim = self._volumes.claim(ref.name, pod.namespace)
            wrong = _wrong_with(claim, ref, pod)
            if wrong:
                return self.unresolvable(wrong)
            if is_bound(claim):
                found.bound.append(claim)
            elif self._volumes.waits_for_consumer(claim):
                found.delayed.append(claim)
            else:
                unbound = True
        if unbound:
            return self.unresolvable(REASON_UNBOUND)
        if not found.bound and not found.delayed:
            return SKIP
        state.data[self.name] = found
        return None

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where a volume is out of reach, or none can be had."""
        claims: _Claims = state.data[self.name]
        for claim in claims.bound:
            volume = self._volumes.volume(claim.spec.volumeName)
            if volume is None:
                return self.unresolvable(REASON_LOST)
            if not reaches(volume, info):
                return self.unresolvable(REASON_AFFINITY)
        plan: list[tuple[Any, Any]] = []
        rooms: dict[str, Fraction] = {}
        for claim in claims.delayed:
            volume = self._free_volume(claim, info, {v.metadata.name for _, v in plan if v is not None})
            if volume is None:
                if not self._can_provision(claim, info):
                    return self.unresolvable(REASON_NONE)
                if not self._has_room(claim, info, rooms):
                    return self.unresolvable(REASON_FULL)
            plan.append((claim, volume))
        claims.plans[info.name], claims.rooms[info.name] = plan, rooms
        return None

    def _has_room(self, claim: Any, info: NodeInfo, rooms: dict[str, Fraction]) -> bool:
        """Whether a volume of that size can be made, for all that the driver tells."""
        found = self._volumes.storage_class(claim)
        if not self._capacities.counts(found):
            return True
        room = self._capacities.largest(found, storage_of(claim.spec.resources.requests), info)
        if room is None:
            return False
        rooms[claim.metadata.uid or claim.metadata.name] = room
        return True

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """Nodes differ by how well volumes would fit that are yet to be bound."""
        claims: _Claims | None = state.data.get(self.name)
        if claims is None or not claims.delayed:
            return SKIP
        static = any(volume is not None for plan in claims.plans.values() for _, volume in plan)
        return None if static or any(claims.rooms.values()) else SKIP

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """The mean worth of the classes' utilization: of the volumes that are there, else of the room for new ones."""
        claims: _Claims = state.data[self.name]
        plan, rooms = claims.plans.get(info.name, ()), claims.rooms.get(info.name, {})
        wanted: dict[str, Fraction] = {}
        there: dict[str, Fraction] = {}
        static = any(volume is not None for _, volume in plan)
        for claim, volume in plan:
            name, room = class_of(claim), rooms.get(claim.metadata.uid or claim.metadata.name)
            if static and volume is not None:
                there[name] = there.get(name, Fraction(0)) + storage_of(volume.spec.capacity)
            elif not static and room is not None:
                # Claims of one class share what there is.
                there[name] = room
            else:
                continue
            wanted[name] = wanted.get(name, Fraction(0)) + storage_of(claim.spec.resources.requests)
        scores = [self._worth_of(wanted[name], amount) for name, amount in there.items()]
        return self._worth.mean(sum(scores), len(scores))

    def _worth_of(self, wanted: Fraction, there: Fraction) -> int:
        if not there or wanted > there:
            return self._worth.one(100, 100)
        return self._worth.one(int(wanted), int(there) or 1)

    def _free_volume(self, claim: Any, info: NodeInfo, taken: set[str]) -> Any:
        """The best volume for the claim that is not promised to another."""
        taken |= self._reserved.keys()
        free = [v for v in self._volumes.volumes() if v.metadata.name not in taken and reaches(v, info)]
        return best_match(claim, free)

    def _can_provision(self, claim: Any, info: NodeInfo) -> bool:
        found = self._volumes.storage_class(claim)
        if found is None or found.provisioner in ("", NO_PROVISIONER):
            return False
        chosen = (claim.metadata.annotations or {}).get(SELECTED_NODE)
        if chosen and chosen != info.name:
            return False
        return not found.allowedTopologies or any(
            all(info.labels.get(e.key) in (e.values or ()) for e in term.matchLabelExpressions or ())
            for term in found.allowedTopologies
        )

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Promise the volumes."""
        claims: _Claims | None = state.data.get(self.name)
        for _, volume in claims.plans.get(node, ()) if claims is not None else ():
            if volume is not None:
                self._reserved[volume.metadata.name] = pod.uid
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Take the promise back."""
        for name in [n for n, uid in self._reserved.items() if uid == pod.uid]:
            del self._reserved[name]

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Bind the claims that waited, and wait until they are."""
        claims: _Claims | None = state.data.get(self.name)
        if claims is None or not claims.plans.get(node):
            return None
        try:
            for claim, volume in claims.plans[node]:
                await self._claim_volume(claim, volume, node)
            await self.handle.clock.wait_for(self._all_bound(claims.plans[node]), self._timeout)
        except StatusError as error:
            return Status(Code.ERROR, (f"binding volumes: {error.message}",), self.name)
        except TimeoutError:
            return Status(Code.ERROR, ("binding volumes: context deadline exceeded",), self.name)
        self.unreserve(state, pod, node)
        return None

    async def _claim_volume(self, claim: Any, volume: Any, node: str) -> None:
        meta = claim.metadata
        if volume is None:
            patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self.handle.client.patch(type(claim), meta.name, meta.namespace, patch)
            return
        ref = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resourceVersion,
        }
        version = volume.metadata.resourceVersion
        patch = {"metadata": {"resourceVersion": version} if version else {}, "spec": {"claimRef": ref}}
        await self.handle.client.patch(type(volume), volume.metadata.name, "", patch)

    async def _all_bound(self, plan: list[tuple[Any, Any]]) -> None:
        for claim, _ in plan:
            name, namespace = claim.metadata.name, claim.metadata.namespace
            while (current := self._volumes.claim(name, namespace)) is None or not is_bound(current):
                await self._waiting.setdefault(f"{namespace}/{name}", asyncio.Event()).wait()

    def _claim_changed(self, old: Any, new: Any) -> None:
        meta = (new if new is not None else old).metadata
        event = self._waiting.pop(f"{meta.namespace}/{meta.name}", None)
        if event is not None:
            event.set()


def _wrong_with(claim: Any, ref: ClaimRef, pod: PodInfo) -> str:
    """Why the claim cannot be used at all, "" when it can."""
    if claim is None:
        if ref.ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{ref.name}"'
        return f'persistentvolumeclaim "{ref.name}" not found'
    if claim.metadata.deletionTimestamp:
        return f'persistentvolumeclaim "{ref.name}" is being deleted'
    if claim.status.phase == "Lost":
        return (
            f'persistentvolumeclaim "{ref.name}" bound to non-existent persistentvolume "{claim.spec.volumeName or ""}"'
        )
    if ref.ephemeral and not any(o.uid == pod.uid and o.controller for o in claim.metadata.ownerReferences or ()):
        return f"PVC {pod.namespace}/{ref.name} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
    return ""


def _uses(pod: PodInfo, old: Any, new: Any) -> bool:
    meta = (new if new is not None else old).metadata
    return bool(meta.namespace == pod.namespace) and any(ref.name == meta.name for ref in claims_of(pod))
