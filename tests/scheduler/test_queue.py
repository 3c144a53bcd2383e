"""Who is tried next, who waits, and what wakes whom. All on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kybern.clock import VirtualClock, settle
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Action, ClusterEvent, Code, Hint, Policy, Resource, Status
from kybern.scheduler.queue import QueuedPod, SchedulingQueue
from tests.scheduler.world import pod

pytestmark = pytest.mark.anyio

NODE_ADDED = ClusterEvent(Resource.NODE, Action.ADD)
POD_GONE = ClusterEvent(Resource.ASSIGNED_POD, Action.DELETE)


class Gate(Policy):
    name = "Gate"
    closed = False

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        return Status(Code.UNRESOLVABLE, ("closed",), self.name) if self.closed else None


class FakeProfile:
    """Wakes pods of `Room` when a pod is gone, those of `Big` when a node is added that the pod is named after."""

    def __init__(self) -> None:
        self.gate = Gate({}, None)  # type: ignore[arg-type]
        self.pre_enqueue: Sequence[Policy] = [self.gate]

    def sort_key(self, pod: PodInfo, queued_at: float) -> Any:
        return -pod.priority, queued_at

    def hints(self, policy: str) -> Sequence[Hint]:
        return {
            "Room": (Hint(Resource.ASSIGNED_POD, Action.DELETE),),
            "Big": (Hint(Resource.NODE, Action.ADD, lambda pod, old, new: pod.name == new),),
            "Gate": (Hint(Resource.TARGET_POD, Action.UPDATE_POD_GATES_ELIMINATED),),
        }[policy]


class Harness:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.profile = FakeProfile()
        self.queue = SchedulingQueue(self.clock, lambda pod: self.profile)

    def add(self, name: str, priority: int = 0) -> PodInfo:
        info = PodInfo(pod(name, priority=priority))
        self.queue.add(info)
        return info

    def pop(self) -> QueuedPod:
        queued = self.queue.pop_now()
        assert queued is not None
        return queued

    def order(self) -> list[str]:
        names = []
        while (queued := self.queue.pop_now()) is not None:
            names.append(queued.pod.name)
        return names

    def fail(self, *rejected_by: str) -> QueuedPod:
        queued = self.pop()
        self.queue.requeue(queued, rejected_by)
        return queued

    def places(self) -> dict[str, list[str]]:
        return self.queue.places()


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def test_higher_priority_first_then_who_came_first(harness: Harness) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        harness.add(name, priority)
        await harness.clock.advance(1)
    assert harness.order() == ["b", "d", "a", "c"]


async def test_a_failed_pod_waits_for_an_event_that_its_policy_asked_for(harness: Harness) -> None:
    harness.add("p")
    harness.fail("Room")
    await harness.clock.advance(60)
    harness.queue.happened(NODE_ADDED, None, "other")
    assert harness.places() == {"unschedulable": ["p"]}
    harness.queue.happened(POD_GONE, "x", None)
    assert harness.order() == ["p"]


async def test_a_hint_may_say_that_an_event_does_not_help(harness: Harness) -> None:
    harness.add("p")
    harness.fail("Big")
    await harness.clock.advance(60)
    harness.queue.happened(NODE_ADDED, None, "other")
    assert harness.places() == {"unschedulable": ["p"]}
    harness.queue.happened(NODE_ADDED, None, "p")
    assert harness.order() == ["p"]


async def test_any_of_the_policies_that_rejected_the_pod_may_wake_it(harness: Harness) -> None:
    harness.add("p")
    harness.fail("Big", "Room")
    await harness.clock.advance(60)
    harness.queue.happened(POD_GONE, "x", None)
    assert harness.order() == ["p"]


async def test_back_off_doubles_from_one_to_ten_seconds(harness: Harness) -> None:
    harness.add("p")
    waits = []
    for _ in range(6):
        start = harness.clock.now()
        harness.fail("Room")
        harness.queue.happened(POD_GONE, "x", None)
        assert harness.places() == {"backoff": ["p"]}
        await harness.clock.advance_until(lambda: "active" in harness.places())
        waits.append(harness.clock.now() - start)
    assert waits == [1, 2, 4, 8, 10, 10]


async def test_an_error_is_tried_again_after_the_back_off(harness: Harness) -> None:
    harness.add("p")
    harness.fail()
    assert harness.places() == {"backoff": ["p"]}
    await harness.clock.advance(1)
    assert harness.order() == ["p"]


async def test_pods_back_off_each_for_itself(harness: Harness) -> None:
    harness.add("a")
    harness.fail()
    await harness.clock.advance(1)
    harness.fail()
    harness.add("b")
    harness.fail()
    await harness.clock.advance(1)
    assert harness.places() == {"backoff": ["a"], "active": ["b"]}
    await harness.clock.advance(1)
    assert harness.order() == ["b", "a"]


async def test_what_no_event_wakes_is_tried_again_after_five_minutes(harness: Harness) -> None:
    harness.add("p")
    harness.fail("Room")
    await harness.clock.advance(299)
    assert harness.places() == {"unschedulable": ["p"]}
    await harness.clock.advance(31)
    assert harness.order() == ["p"]


async def test_a_gated_pod_waits_for_its_gate_and_nothing_else(harness: Harness) -> None:
    harness.profile.gate.closed = True
    info = harness.add("p")
    assert harness.places() == {"gated": ["p"]}
    harness.queue.happened(POD_GONE, "x", None)
    await harness.clock.advance(600)
    assert harness.places() == {"gated": ["p"]}
    harness.profile.gate.closed = False
    harness.queue.update(info, ClusterEvent(Resource.TARGET_POD, Action.UPDATE_POD_GATES_ELIMINATED))
    assert harness.order() == ["p"]


async def test_a_change_of_the_pod_itself_wakes_it_only_if_it_can_help(harness: Harness) -> None:
    info = harness.add("p")
    harness.fail("Room")
    await harness.clock.advance(5)
    harness.queue.update(info)
    harness.queue.update(info, ClusterEvent(Resource.TARGET_POD, Action.UPDATE_POD_LABEL))
    assert harness.places() == {"unschedulable": ["p"]}


async def test_a_removed_pod_is_gone_wherever_it_was(harness: Harness) -> None:
    active, backing_off, waiting = (harness.add(name, priority) for name, priority in (("a", 0), ("b", 2), ("c", 1)))
    harness.fail()
    harness.fail("Room")
    for info in (active, backing_off, waiting):
        harness.queue.remove(info.uid)
    await harness.clock.advance(600)
    assert harness.order() == []
    assert len(harness.queue) == 0


async def test_a_pod_removed_during_its_cycle_does_not_come_back(harness: Harness) -> None:
    info = harness.add("p")
    queued = harness.pop()
    harness.queue.remove(info.uid)
    harness.queue.requeue(queued, ["Room"])
    assert harness.places() == {}


async def test_activate_skips_waiting_and_back_off(harness: Harness) -> None:
    info = harness.add("p")
    harness.fail("Room")
    harness.queue.activate(info.uid)
    assert harness.order() == ["p"]


async def test_a_new_priority_moves_a_waiting_pod(harness: Harness) -> None:
    harness.add("a", 1)
    low = harness.add("b", 0)
    raised = pod("b", priority=2)
    raised.metadata.uid = low.uid
    harness.queue.update(PodInfo(raised))
    assert harness.order() == ["b", "a"]


async def test_the_loop_sleeps_until_a_pod_is_there(harness: Harness) -> None:
    waiter = asyncio.ensure_future(harness.queue.ready())
    await settle()
    assert not waiter.done()
    harness.add("p")
    await settle()
    assert waiter.done()
    assert harness.order() == ["p"]


async def test_what_happened_while_a_pod_was_held_counts_when_it_is_rejected(harness: Harness) -> None:
    for name in ("held", "other"):
        harness.add(name)
    held, other = harness.pop(), harness.pop()
    harness.queue.hold(held.pod.uid)
    harness.queue.happened(POD_GONE, "x", None)
    harness.queue.requeue(held, ["Room"])
    harness.queue.requeue(other, ["Room"])
    assert harness.places() == {"backoff": ["held"], "unschedulable": ["other"]}


async def test_a_pod_rejected_by_many_is_found_under_each_and_left_everywhere(harness: Harness) -> None:
    harness.add("p")
    harness.fail("Room", "Big", "Gate")
    await harness.clock.advance(5)
    harness.queue.happened(NODE_ADDED, None, "p")
    harness.queue.happened(POD_GONE, "x", None)
    assert harness.order() == ["p"]
    assert harness.queue._rejected == {}
