"""Writes to ResourceClaims on a pod's way to its node: the allocation and the reservation, and taking both back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Handle
from kybern_scheduler_policies.device_pools import identities

__all__ = ["FINALIZER", "BindingFailed", "ClaimWriter", "failed_condition", "is_prepared"]

FINALIZER = "resource.kubernetes.io/delete-protection"
TRIES = 5


class BindingFailed(Exception):
    """A driver says that a device cannot be had on the node after all."""


class ClaimWriter:
    """Does the writes of `DynamicResources`."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._waiting: dict[str, asyncio.Event] = {}

    async def allocate(self, claim: Any, allocation: Any, pod: PodInfo) -> Any:
        """Write the allocation, unless the claim has one, and reserve the claim for the pod."""
        for _ in range(TRIES):
            try:
                return await self._allocate_once(claim, allocation, pod)
            except StatusError as error:
                if error.reason != "Conflict":
                    raise
            claim = await self._fresh(claim)
        raise StatusError.conflict("resourceclaims", "resource.k8s.io", claim.metadata.name)

    async def _allocate_once(self, claim: Any, allocation: Any, pod: PodInfo) -> Any:
        from kybern.api.resource import ResourceClaimConsumerReference

        client, name = self._handle.client, claim.metadata.name
        if claim.status.allocation is None and allocation is None:
            raise StatusError(500, "InternalError", f"claim {name} lost its devices")
        if claim.status.allocation is None and FINALIZER not in (claim.metadata.finalizers or ()):
            claim = types.copy(claim)
            claim.metadata.finalizers = [*(claim.metadata.finalizers or ()), FINALIZER]
            claim = await client.update(claim)
        changed = types.copy(claim)
        if changed.status.allocation is None:
            changed.status.allocation = types.copy(allocation)
            changed.status.allocation.allocationTimestamp = format_time(self._handle.clock.now())
        elif allocation is not None and set(identities(changed.status.allocation)) != set(identities(allocation)):
            raise StatusError(500, "InternalError", f"claim {name} was given other devices meanwhile")
        reserved = changed.status.reservedFor or []
        if not any(r.uid == pod.uid for r in reserved):
            reference = ResourceClaimConsumerReference(resource="pods", name=pod.name, uid=pod.uid)
            changed.status.reservedFor = [*reserved, reference]
        return await client.update_status(changed) if changed.status != claim.status else claim

    async def prepared(self, claims: Iterable[Any]) -> None:
        """Wait until the drivers say that all devices with binding conditions are ready. BindingFailed if they do
        not become so."""
        for claim in claims:
            while not is_prepared(claim):
                if failed := failed_condition(claim):
                    raise BindingFailed(f"claim {claim.metadata.name}: device binding failed: {failed}")
                # What changes while the claim is being read must wake, too.
                event = self._waiting.setdefault(claim.metadata.uid, asyncio.Event())
                fresh = await self._fresh(claim)
                if fresh.metadata.resourceVersion == claim.metadata.resourceVersion:
                    await event.wait()
                claim = fresh

    def changed(self, claim: Any) -> None:
        """Wake who waits for the claim."""
        event = self._waiting.pop(claim.metadata.uid, None)
        if event is not None:
            event.set()

    async def give_back(self, claims: Iterable[Any], pod: PodInfo) -> None:
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
            changed.status.allocation = changed.status.devices = None
        if changed.status != claim.status:
            await self._handle.client.update_status(changed)

    async def remove(self, claim: Any, pod: PodInfo) -> None:
        """Give back a claim that was made for the pod's extended resources, and delete it."""
        await self.give_back([claim], pod)
        try:
            fresh = types.copy(await self._fresh(claim))
            fresh.metadata.finalizers = [f for f in fresh.metadata.finalizers or () if f != FINALIZER] or None
            await self._handle.client.update(fresh)
            metadata = fresh.metadata
            await self._handle.client.delete(type(fresh), metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _fresh(self, claim: Any) -> Any:
        metadata = claim.metadata
        fresh: Any = await self._handle.client.get(type(claim), metadata.name, metadata.namespace)
        if fresh.metadata.uid != metadata.uid:
            raise StatusError.not_found("resourceclaims", "resource.k8s.io", metadata.name)
        return fresh


def is_prepared(claim: Any) -> bool:
    """Whether every binding condition of its devices is met."""
    allocation = claim.status.allocation
    results = (allocation.devices.results if allocation is not None else None) or ()
    return all(wanted in _true(claim, result) for result in results for wanted in result.bindingConditions or ())


def failed_condition(claim: Any) -> str:
    """The condition that says that a device cannot be bound; "" when none does."""
    allocation = claim.status.allocation
    for result in (allocation.devices.results if allocation is not None else None) or ():
        for name in result.bindingFailureConditions or ():
            if name in _true(claim, result):
                return f"device {result.driver}/{result.pool}/{result.device} is {name}"
    return ""


def _true(claim: Any, result: Any) -> set[str]:
    """The conditions of one device that are met."""
    identity = (result.driver, result.pool, result.device, result.shareID)
    return {
        condition.type
        for device in claim.status.devices or ()
        if (device.driver, device.pool, device.device, device.shareID) == identity
        for condition in device.conditions or ()
        if condition.status == "True"
    }
