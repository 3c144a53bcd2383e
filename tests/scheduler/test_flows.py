"""Whole stories: gates, profiles, races, restarts, waiting at permit, faulty policies."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.clock import settle
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Code, CycleState, Hint, Policy, Status
from kybern_scheduler_policies.default_set import POLICIES
from tests.scheduler.world import Cluster, Running, node, pod

pytestmark = pytest.mark.anyio

CONFIG = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def changed(obj: Any, **spec: Any) -> Any:
    """A copy of an object with other fields in its spec."""
    copy = types.copy(obj)
    for name, value in spec.items():
        setattr(copy.spec, name, value)
    return copy


async def test_an_empty_cluster_is_told_and_a_node_wakes_the_pod() -> None:
    cluster = Cluster()
    async with Running(cluster.scheduler()):
        cluster.put(pod("p"))
        await settle()
        assert cluster.messages() == ["no nodes available to schedule pods"]
        cluster.put(node("n"))
        await cluster.clock.advance(1)
    assert cluster.bindings == [("p", "n")]


async def test_a_gated_pod_is_not_tried_until_its_last_gate_is_gone() -> None:
    cluster = Cluster(node("n"), pod("p", schedulingGates=[{"name": "a"}, {"name": "b"}]))
    async with Running(cluster.scheduler()) as scheduler:
        assert scheduler.queue.places() == {"gated": ["p"]}
        gates = cluster.pod("p").spec.schedulingGates
        cluster.put(changed(cluster.pod("p"), schedulingGates=gates[:1]))
        await settle()
        assert (cluster.bindings, cluster.messages()) == ([], [])
        cluster.put(changed(cluster.pod("p"), schedulingGates=None))
        await settle()
    assert cluster.bindings == [("p", "n")]


async def test_room_that_becomes_free_wakes_the_pod() -> None:
    old = pod("old", on="n", cpu="4")
    cluster = Cluster(node("n", cpu="4"), old)
    async with Running(cluster.scheduler()):
        cluster.put(pod("p", cpu="3"))
        await cluster.clock.advance(5)
        assert cluster.bindings == []
        cluster.drop(old)
        await settle()
    assert cluster.bindings == [("p", "n")]


async def test_a_pod_that_has_ended_takes_no_room() -> None:
    old = pod("old", on="n", cpu="4")
    cluster = Cluster(node("n", cpu="4"), old)
    async with Running(cluster.scheduler()):
        cluster.put(pod("p", cpu="3"))
        await cluster.clock.advance(5)
        ended = types.copy(old)
        ended.status.phase = "Succeeded"
        cluster.put(ended)
        await settle()
    assert cluster.bindings == [("p", "n")]


async def test_a_node_uncordoned_or_untainted_wakes_the_pod() -> None:
    cluster = Cluster(node("cordoned", unschedulable=True), node("tainted", taints=[("a", "b", "NoSchedule")]))
    async with Running(cluster.scheduler()):
        cluster.put(pod("p"))
        await cluster.clock.advance(5)
        cluster.put(node("cordoned"))
        await settle()
        assert cluster.bindings == [("p", "cordoned")]


async def test_a_heartbeat_wakes_nobody() -> None:
    cluster = Cluster(node("n", cpu="1"))
    async with Running(cluster.scheduler()):
        cluster.put(pod("p", cpu="2"))
        await cluster.clock.advance(5)
        beat = types.copy(cluster.informer(type(node("x"))).get("n"))
        beat.metadata.resourceVersion = "9"
        cluster.put(beat)
        await settle()
    assert len(cluster.messages()) == 1


async def test_pods_of_other_schedulers_are_left_alone() -> None:
    cluster = Cluster(node("n"))
    async with Running(cluster.scheduler()):
        cluster.put(pod("theirs", schedulerName="other"), pod("ours"))
        await settle()
    assert cluster.bindings == [("ours", "n")]


async def test_each_profile_has_its_own_policies() -> None:
    packed = {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}
    off = [{"name": name} for name in ("NodeResourcesBalancedAllocation", "PodTopologySpread")]
    profiles = [{"schedulerName": "default-scheduler"}]
    profiles.append({"schedulerName": "packer", "pluginConfig": [packed], "plugins": {"score": {"disabled": off}}})  # type: ignore[dict-item]
    cluster = Cluster(node("a"), node("b"), pod("old", on="b", cpu="1", memory="1Gi"))
    async with Running(cluster.scheduler(CONFIG | {"profiles": profiles})):
        cluster.put(pod("spread", cpu="1", memory="1Gi"))
        await settle()
        cluster.put(changed(pod("packed1", cpu="1", memory="1Gi"), schedulerName="packer"))
        await settle()
    assert cluster.bindings[0] == ("spread", "a")


async def test_what_is_decided_counts_before_the_api_server_confirms_it() -> None:
    cluster = Cluster(node("n", cpu="1"))
    cluster.silent = True
    async with Running(cluster.scheduler()) as scheduler:
        cluster.put(pod("a", cpu="1"), pod("b", cpu="1"))
        await settle()
        assert cluster.bindings == [("a", "n")]
        assert len(scheduler.snapshot.assumed) == 1
        cluster.put(changed(cluster.pod("a"), nodeName="n"))
        assert scheduler.snapshot.assumed == set()
        assert scheduler.snapshot.by_name["n"].requested["cpu"] == 1000


async def test_a_restarted_scheduler_knows_what_runs_and_tries_the_rest() -> None:
    cluster = Cluster(node("n", cpu="2"))
    cluster.silent = True
    async with Running(cluster.scheduler()):
        cluster.put(pod("a", cpu="1"), pod("b", cpu="5"), pod("later", cpu="1"))
        await settle()
    cluster.silent = False
    cluster.put(changed(cluster.pod("a"), nodeName="n"))
    cluster.bindings.clear()
    async with Running(cluster.scheduler()) as scheduler:
        await settle()
        assert scheduler.snapshot.by_name["n"].requested["cpu"] == 2000
    assert cluster.bindings == [("later", "n")]
    assert cluster.pod("later").spec.nodeName == "n"


async def test_of_two_schedulers_one_gets_the_pod_and_the_other_gives_its_room_back() -> None:
    cluster = Cluster(node("mine", cpu="1"), node("theirs", cpu="1"))

    def other_is_faster(name: str, chosen: str) -> None:
        if name == "p":
            taken = changed(cluster.pod("p"), nodeName="theirs" if chosen == "mine" else "mine")
            cluster.informer(type(taken)).objects[("default", "p")] = taken
            cluster.late = taken  # type: ignore[attr-defined]

    cluster.before_binding = other_is_faster
    async with Running(cluster.scheduler()) as scheduler:
        cluster.put(pod("p", cpu="1"))
        await settle()
        assert cluster.bindings == []
        assert scheduler.snapshot.assumed == set()
        late = cluster.late  # type: ignore[attr-defined]
        for callback in cluster.informer(type(late)).callbacks:
            callback(None, late)
        assert len(scheduler.queue) == 0
        cluster.put(pod("q", cpu="1"))
        await settle()
        assert [name for name, _ in cluster.bindings] == ["q"]
        assert cluster.bindings[0][1] != late.spec.nodeName


async def test_a_failed_binding_is_tried_again() -> None:
    from kybern.api.errors import StatusError

    cluster = Cluster(node("n"))
    failures = [StatusError(503, "ServiceUnavailable", "down")]

    def fail_once(name: str, chosen: str) -> None:
        if failures:
            raise failures.pop()

    cluster.before_binding = fail_once
    async with Running(cluster.scheduler()):
        cluster.put(pod("p"))
        await settle()
        assert cluster.messages() == ["binding rejected: down"]
        condition = cluster.pod("p").status.conditions[0]
        assert (condition.reason, condition.message) == ("SchedulerError", "binding rejected: down")
        await cluster.clock.advance(1)
    assert cluster.bindings == [("p", "n")]


async def test_a_pod_deleted_while_it_is_bound_leaves_nothing_behind() -> None:
    cluster = Cluster(node("n"))
    cluster.before_binding = lambda name, chosen: cluster.drop(cluster.pod(name))
    async with Running(cluster.scheduler()) as scheduler:
        cluster.put(pod("p", cpu="1"))
        await settle()
        assert scheduler.snapshot.pods == {}
        assert len(scheduler.queue) == 0
        assert scheduler.snapshot.by_name["n"].requested.get("cpu", 0) == 0
    assert cluster.messages() == []


async def test_a_pod_being_deleted_is_not_scheduled() -> None:
    leaving = pod("p")
    leaving.metadata.deletionTimestamp = "2026-01-01T00:00:00Z"
    cluster = Cluster(node("n"))
    async with Running(cluster.scheduler()):
        cluster.put(leaving)
        await settle()
    assert cluster.bindings == []
    assert cluster.messages() == ["skip schedule deleting pod: default/p"]


async def test_the_same_failure_is_written_to_the_pod_once() -> None:
    cluster = Cluster(node("n", cpu="1"))
    async with Running(cluster.scheduler()):
        cluster.put(pod("p", cpu="2"))
        await cluster.clock.advance(700)
    assert len(cluster.messages()) > 1
    assert len(cluster.patches) == 1


class Doorman(Policy):
    """Holds every pod until told otherwise."""

    name = "Doorman"
    default = True
    log: list[str] = []

    def hints(self) -> Any:
        return ()

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        self.log.append(f"reserve {pod.name}")
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        self.log.append(f"unreserve {pod.name}")

    def permit(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        return Status(Code.WAIT, policy=self.name, timeout=30)


async def test_a_waiting_pod_is_bound_when_it_is_allowed() -> None:
    Doorman.log.clear()
    cluster = Cluster(node("n"))
    async with Running(cluster.scheduler(policies=[*POLICIES, Doorman])) as scheduler:
        waiting = pod("p", cpu="1")
        cluster.put(waiting)
        await settle()
        assert cluster.bindings == []
        assert scheduler.snapshot.by_name["n"].requested["cpu"] == 1000
        assert scheduler.waiting.allow(waiting.metadata.uid, "Doorman")
        await settle()
    assert cluster.bindings == [("p", "n")]
    assert Doorman.log == ["reserve p"]


async def test_a_pod_that_waits_too_long_is_rejected_and_gives_back_its_room() -> None:
    Doorman.log.clear()
    cluster = Cluster(node("n"))
    async with Running(cluster.scheduler(policies=[*POLICIES, Doorman])) as scheduler:
        cluster.put(pod("p", cpu="1"))
        await cluster.clock.advance(30)
        assert scheduler.snapshot.pods == {}
    assert cluster.messages() == [
        '0/1 nodes are available: 1 rejected due to timeout after waiting 30s at plugin "Doorman".'
    ]
    assert Doorman.log == ["reserve p", "unreserve p"]


class Broken(Policy):
    """Fails at what it is told to fail at."""

    name = "Broken"
    default = True
    at = ""

    def hints(self) -> tuple[Hint, ...]:
        return ()

    def _fail(self, point: str) -> None:
        if self.at == point:
            raise RuntimeError(f"bug in {point}")

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        self._fail("filter")
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        self._fail("score")
        return 0

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        self._fail("reserve")
        return None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        self._fail("pre_bind")
        return None


@pytest.mark.parametrize("point", ["filter", "score", "reserve", "pre_bind"])
async def test_a_faulty_policy_fails_the_pod_and_not_the_scheduler(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "at", point)
    cluster = Cluster(node("a"), node("b"))
    async with Running(cluster.scheduler(policies=[*POLICIES, Broken])) as scheduler:
        cluster.put(pod("p"))
        await settle()
        assert cluster.messages() == [f"RuntimeError: bug in {point}"]
        assert scheduler.snapshot.pods == {}
        monkeypatch.setattr(Broken, "at", "")
        await cluster.clock.advance(1)
    assert len(cluster.bindings) == 1


async def test_a_deleted_nodes_pods_come_back_with_it() -> None:
    there = node("n", cpu="2")
    cluster = Cluster(there, node("other", cpu="1"), pod("old", on="n", cpu="2"))
    async with Running(cluster.scheduler()) as scheduler:
        cluster.drop(there)
        assert list(scheduler.snapshot.by_name) == ["other"]
        cluster.put(there)
        assert scheduler.snapshot.by_name["n"].requested["cpu"] == 2000
        cluster.drop(cluster.pod("old"))
        assert scheduler.snapshot.by_name["n"].requested["cpu"] == 0


async def test_a_resize_down_makes_room() -> None:
    old = pod("old", on="n", cpu="4")
    cluster = Cluster(node("n", cpu="4"), old)
    async with Running(cluster.scheduler()):
        cluster.put(pod("p", cpu="2"))
        await cluster.clock.advance(5)
        smaller = types.copy(old)
        smaller.spec.containers[0].resources.requests["cpu"] = "1"
        cluster.put(smaller)
        await settle()
    assert cluster.bindings == [("p", "n")]


async def test_stopping_ends_bindings_under_way() -> None:
    cluster = Cluster(node("n"))
    ended: list[str] = []

    class SlowBinder(Policy):
        name = "DefaultBinder"
        default = True

        async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
            try:
                await self.handle.clock.sleep(1000)
            finally:
                ended.append(pod.name)
            return None

    policies = [p for p in POLICIES if p.name != "DefaultBinder"]
    async with Running(cluster.scheduler(policies=[*policies, SlowBinder])):
        cluster.put(pod("p"))
        await settle()
        assert ended == []
    assert ended == ["p"]


async def test_work_of_a_policy_that_fails_beside_the_loop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("bug")

    cluster = Cluster(node("n"))
    async with Running(cluster.scheduler()) as scheduler:
        scheduler.spawn(fail())
        await settle()
        cluster.put(pod("p"))
        await settle()
    assert cluster.bindings == [("p", "n")]
    assert "work beside the scheduling loop failed" in caplog.text
