"""Leader election: one at a time, taken over when the holder falls silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.api.coordination import Lease
from kybern.api.errors import StatusError
from kybern.clock import VirtualClock, settle
from kybern.reconcile.leader import LeaderElection, LeadershipLost
from kybern.testing.client import WorldClient

pytestmark = pytest.mark.anyio


class Candidate:
    """A process that would like to lead."""

    def __init__(self, client: WorldClient, clock: VirtualClock, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.election = LeaderElection(client, clock, "boss", name)
        self.task = asyncio.create_task(self.election.run(self.lead))

    async def lead(self) -> None:
        self.log.append(f"+{self.name}")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.log.append(f"-{self.name}")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.client = WorldClient(self.clock)
        self.log: list[str] = []
        self.unreachable: set[str] = set()

    def candidate(self, name: str) -> Candidate:
        return Candidate(self.client, self.clock, name, self.log)

    def lease(self) -> Any:
        return self.client.all(Lease)[0].spec


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_leads_and_the_second_waits(world: World) -> None:
    first = world.candidate("first")
    await settle()
    second = world.candidate("second")
    await world.clock.advance(300)
    assert world.log == ["+first"]
    lease = world.lease()
    assert (lease.holderIdentity, lease.leaseDurationSeconds, lease.leaseTransitions) == ("first", 15, 0)
    assert lease.renewTime == "2026-01-01T00:05:00.000000Z"
    await first.stop()
    await second.stop()


async def test_a_leader_that_leaves_hands_over_at_once(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await world.clock.advance(10)
    await first.stop()
    assert world.lease().holderIdentity in ("", None)
    await world.clock.advance(2)
    assert world.log == ["+first", "-first", "+second"]
    assert world.lease().leaseTransitions == 1
    await second.stop()


async def test_a_leader_that_dies_is_followed_after_the_leases_duration(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await world.clock.advance(10)
    first.election.client = Dead()
    first.task.cancel()
    await world.clock.advance(14)
    assert "+second" not in world.log
    await world.clock.advance(4)
    assert world.log == ["+first", "-first", "+second"]
    await second.stop()


class Dead(WorldClient):
    """No request ever succeeds."""

    def __init__(self) -> None:
        super().__init__(VirtualClock())

    async def get(self, *_: Any, **__: Any) -> Any:
        raise StatusError(503, "ServiceUnavailable", "down")

    async def update(self, *_: Any, **__: Any) -> Any:
        raise StatusError(503, "ServiceUnavailable", "down")


async def test_a_leader_that_cannot_renew_stops_before_another_may_start(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await world.clock.advance(10)
    first.election.client = Dead()
    await world.clock.advance(11)
    assert world.log == ["+first", "-first"]
    await world.clock.advance(10)
    assert world.log == ["+first", "-first", "+second"]
    with pytest.raises(LeadershipLost):
        await first.task
    await second.stop()


async def test_a_leader_whose_request_hangs_stops_in_time(world: World) -> None:
    class Hanging(Dead):
        async def get(self, *_: Any, **__: Any) -> Any:
            await asyncio.get_running_loop().create_future()

    first = world.candidate("first")
    await world.clock.advance(10)
    first.election.client = Hanging()
    await world.clock.advance(13)
    assert world.log == ["+first", "-first"]
    with pytest.raises(LeadershipLost):
        await first.task


async def test_never_two_at_the_same_time(world: World) -> None:
    candidates = [world.candidate(name) for name in "abc"]
    for round_ in range(12):
        await world.clock.advance(7)
        leader = world.log[-1][1:]
        if round_ % 3 == 0 and world.log[-1][0] == "+":
            candidate = next(c for c in candidates if c.name == leader)
            await candidate.stop()
            candidates.remove(candidate)
            candidates.append(world.candidate(leader))
    leading: set[str] = set()
    for entry in world.log:
        (leading.add if entry[0] == "+" else leading.discard)(entry[1:])
        assert len(leading) <= 1
    assert len(world.log) > 5
    for candidate in candidates:
        await candidate.stop()


async def test_when_the_work_is_done_the_lease_is_given_up(world: World) -> None:
    async def lead() -> None:
        world.log.append("done")

    await LeaderElection(world.client, world.clock, "boss", "me").run(lead)
    assert world.log == ["done"]
    assert not world.lease().holderIdentity


def test_timings_must_make_sense(world: World) -> None:
    with pytest.raises(ValueError, match="lease_duration > renew_deadline"):
        LeaderElection(world.client, world.clock, "boss", "me", lease_duration=5)
