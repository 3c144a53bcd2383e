"""Leader election: of several candidates one works at a time, agreed on by a Lease.

The holder renews the Lease; the others watch its record and take over when it has not changed for
the lease's duration by *their own* clock, so that machines need not agree on the time. Timings and
fields are client-go's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import attrs

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.clock import Clock

__all__ = ["LeaderElection", "LeadershipLost"]

log = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """The lease could not be renewed in time; somebody else may lead now."""


@attrs.define
class LeaderElection:
    """One candidate. `identity` must differ between candidates."""

    client: Client
    clock: Clock
    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    _record: tuple[Any, ...] = attrs.field(default=(), init=False)
    _observed: float = attrs.field(default=0.0, init=False)
    _lease: Any = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period > 0:
            raise ValueError("must be: lease_duration > renew_deadline > retry_period > 0")

    @property
    def is_leader(self) -> bool:
        """Whether the lease, as last seen, is ours."""
        return bool(self._record) and self._record[0] == self.identity

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait to become the leader, then run `lead` for as long as the lease is held.

        Returns when `lead` does, and raises LeadershipLost after cancelling it when the lease is
        lost. On the way out a lease that is still held is given up at once.
        """
        await self._acquire()
        try:
            await self._lead(lead)
        finally:
            with anyio.CancelScope(shield=True):
                await self._release()

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        lost = False
        async with anyio.create_task_group() as tasks:

            async def renew() -> None:
                nonlocal lost
                await self._renew_until_lost()
                lost = True
                tasks.cancel_scope.cancel()

            tasks.start_soon(renew)
            await lead()
            tasks.cancel_scope.cancel()
        if lost:
            raise LeadershipLost(f"{self.identity} lost the lease {self.namespace}/{self.name}")

    async def _acquire(self) -> None:
        while not await self._try_to_hold():
            await self.clock.sleep(self.retry_period)
        log.info("%s leads %s/%s", self.identity, self.namespace, self.name)

    async def _renew_until_lost(self) -> None:
        renewed = self.clock.monotonic()
        while True:
            await self.clock.sleep(self.retry_period)
            left = renewed + self.renew_deadline - self.clock.monotonic()
            try:
                held = await self.clock.wait_for(self._try_to_hold(), max(left, 0.001))
            except TimeoutError:
                held = False
            if held:
                renewed = self.clock.monotonic()
            elif self.clock.monotonic() >= renewed + self.renew_deadline or not self.is_leader:
                return

    async def _try_to_hold(self) -> bool:
        try:
            return await self._hold()
        except StatusError as error:
            log.debug("%s could not take or renew the lease %s: %s", self.identity, self.name, error)
            return False

    async def _hold(self) -> bool:
        from kybern.api.coordination import Lease

        try:
            lease = await self.client.get(Lease, self.name, self.namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            self._observe(await self.client.create(self._new_lease()))
            return True
        self._observe(lease)
        spec = lease.spec
        if spec.holderIdentity and not self.is_leader and not self._expired(spec):
            return False
        self._observe(await self.client.update(self._renewed(lease)))
        return True

    def _observe(self, lease: Any) -> None:
        spec = lease.spec
        record = (spec.holderIdentity, spec.renewTime, spec.acquireTime, spec.leaseTransitions)
        if record != self._record:
            self._record = record
            self._observed = self.clock.monotonic()
        self._lease = lease

    def _expired(self, spec: Any) -> bool:
        return self._observed + (spec.leaseDurationSeconds or 0) <= self.clock.monotonic()

    def _new_lease(self) -> Any:
        from kybern.api.coordination import Lease, LeaseSpec
        from kybern.api.meta import ObjectMeta
        from kybern.api.time import format_micro_time

        now = format_micro_time(self.clock.now())
        return Lease(
            metadata=ObjectMeta(name=self.name, namespace=self.namespace),
            spec=LeaseSpec(
                holderIdentity=self.identity,
                leaseDurationSeconds=int(self.lease_duration),
                acquireTime=now,
                renewTime=now,
                leaseTransitions=0,
            ),
        )

    def _renewed(self, lease: Any) -> Any:
        from kybern.api import types
        from kybern.api.time import format_micro_time

        lease = types.copy(lease)
        spec = lease.spec
        spec.renewTime = format_micro_time(self.clock.now())
        spec.leaseDurationSeconds = int(self.lease_duration)
        if spec.holderIdentity != self.identity:
            spec.holderIdentity = self.identity
            spec.acquireTime = spec.renewTime
            spec.leaseTransitions = (spec.leaseTransitions or 0) + 1
        return lease

    async def _release(self) -> None:
        """Let the next candidate start at once instead of after the lease's duration."""
        if not self.is_leader:
            return
        from kybern.api import types
        from kybern.api.time import format_micro_time

        lease = types.copy(self._lease)
        lease.spec.holderIdentity = ""
        lease.spec.leaseDurationSeconds = 1
        lease.spec.renewTime = lease.spec.acquireTime = format_micro_time(self.clock.now())
        try:
            self._observe(await self.client.update(lease))
        except StatusError as error:
            log.warning("%s could not give up the lease %s: %s", self.identity, self.name, error)
