"""Making room: who has to go, from which node, and what happens then."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.policy import PodDisruptionBudget
from kybern.clock import settle
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import CycleState
from kybern.scheduler.preemption import Candidate, best_candidate, victims_on
from tests.scheduler.world import Cluster, Running, node, pod

pytestmark = pytest.mark.anyio


def budget(name: str, app: str, allowed: int, **status: Any) -> Any:
    return types.from_plain(
        PodDisruptionBudget,
        {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed} | status,
        },
    )


async def schedule(cluster: Cluster, *pods: Any, seconds: float = 0) -> None:
    async with Running(cluster.scheduler()):
        cluster.put(*pods)
        await settle()
        await cluster.clock.advance(seconds)


async def test_a_less_important_pod_makes_room() -> None:
    cluster = Cluster(
        node("n", cpu="2"), pod("small", on="n", cpu="1", priority=1), pod("big", on="n", cpu="1", priority=5)
    )
    preemptor = pod("p", cpu="1", priority=3)
    await schedule(cluster, preemptor, seconds=2)
    assert cluster.deleted == ["small"]
    assert cluster.bindings == [("p", "n")]
    assert (
        "Normal",
        "Preempted",
        "small",
        f"Preempted by pod {preemptor.metadata.uid} on node n",
    ) in cluster.events.seen
    (patch,) = [patch for name, patch in cluster.patches if name == "small"]
    assert patch["status"]["conditions"] == [
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]


async def test_the_pod_is_nominated_and_the_event_says_only_why_there_was_no_room() -> None:
    cluster = Cluster(node("n", cpu="1"), pod("small", on="n", cpu="1"))
    await schedule(cluster, pod("p", cpu="1", priority=1))
    assert cluster.messages() == ["0/1 nodes are available: 1 Insufficient cpu."]
    assert cluster.pod("p").status.nominatedNodeName == "n"


async def test_nobody_is_deleted_when_that_does_not_help() -> None:
    cluster = Cluster(
        node("full", cpu="1"),
        node("tainted", taints=[("a", "", "NoSchedule")]),
        node("ours", cpu="1"),
        pod("equal", on="full", cpu="1", priority=1),
        pod("higher", on="ours", cpu="1", priority=2),
    )
    await schedule(cluster, pod("p", cpu="1", priority=1))
    assert cluster.deleted == []
    assert cluster.messages() == [
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to "
        "deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption "
        "victims found for incoming pod."
    ]


async def test_a_pod_with_policy_never_waits() -> None:
    cluster = Cluster(node("n", cpu="1"), pod("small", on="n", cpu="1"))
    await schedule(cluster, pod("p", cpu="1", priority=1, preemptionPolicy="Never"))
    assert cluster.deleted == []
    assert cluster.messages() == [
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
        "preemption: not eligible due to preemptionPolicy=Never."
    ]


async def test_while_a_victim_terminates_no_other_is_chosen() -> None:
    leaving = pod("leaving", on="n", cpu="1")
    leaving.metadata.deletionTimestamp = "2026-01-01T00:00:00Z"
    leaving.status.conditions = types.from_plain(
        type(leaving),
        {"status": {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}},
    ).status.conditions
    cluster = Cluster(node("n", cpu="2"), leaving, pod("other", on="n", cpu="1"))
    await schedule(cluster, pod("p", cpu="2", priority=1, nominated="n"))
    assert cluster.deleted == []
    assert cluster.messages() == [
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
        "preemption: not eligible due to a terminating pod on the nominated node."
    ]


async def test_room_made_for_a_pod_is_kept_for_it() -> None:
    cluster = Cluster(
        node("n", cpu="2"), pod("waiting", cpu="2", priority=5, nominated="n", schedulingGates=[{"name": "hold"}])
    )
    await schedule(cluster, pod("small", cpu="1", priority=1), pod("urgent", cpu="1", priority=9))
    assert cluster.bindings == [("urgent", "n")]


async def test_a_lesser_nominated_pod_loses_its_nomination() -> None:
    cluster = Cluster(
        node("n", cpu="2"),
        pod("old", on="n", cpu="2"),
        pod("lesser", cpu="2", priority=5, nominated="n", schedulingGates=[{"name": "hold"}]),
    )
    await schedule(cluster, pod("p", cpu="2", priority=9), seconds=2)
    assert cluster.bindings == [("p", "n")]
    assert not cluster.pod("lesser").status.nominatedNodeName


async def test_the_node_with_the_least_harm_is_chosen() -> None:
    cluster = Cluster(
        node("protected", cpu="1"),
        node("important", cpu="1"),
        node("cheap", cpu="1"),
        pod("a", on="protected", cpu="1", labels={"app": "db"}),
        pod("b", on="important", cpu="1", priority=3),
        pod("c", on="cheap", cpu="1", priority=2),
        budget("db", "db", 0),
    )
    await schedule(cluster, pod("p", cpu="1", priority=9), seconds=2)
    assert cluster.deleted == ["c"]


async def test_a_budget_is_broken_when_there_is_no_other_way() -> None:
    cluster = Cluster(node("n", cpu="1"), pod("a", on="n", cpu="1", labels={"app": "db"}), budget("db", "db", 0))
    await schedule(cluster, pod("p", cpu="1", priority=9), seconds=2)
    assert cluster.deleted == ["a"]


@pytest.mark.parametrize(("code", "reason"), [(500, "InternalError"), (409, "Conflict")])
async def test_a_failed_deletion_is_not_the_end(code: int, reason: str) -> None:
    from kybern.api.errors import StatusError

    cluster = Cluster(node("n", cpu="1"), pod("small", on="n", cpu="1"))
    delete, failures = cluster.delete, [StatusError(code, reason, "boom")]

    async def failing(*args: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        await delete(*args, **options)

    cluster.delete = failing  # type: ignore[method-assign]
    await schedule(cluster, pod("p", cpu="1", priority=1), seconds=30)
    assert cluster.deleted == ["small"]
    assert cluster.bindings == [("p", "n")]


def _victims(info_pods: list[Any], preemptor: Any, *budgets: Any, cpu: str = "10") -> Any:
    scheduler = Cluster(node("n", cpu=cpu), *info_pods).scheduler()
    scheduler._watching.start()
    profile, state, subject = scheduler.profiles["default-scheduler"], CycleState(), PodInfo(preemptor)
    profile.pre_filter(state, subject, scheduler.snapshot)
    return victims_on(profile, state.clone(), subject, scheduler.snapshot.by_name["n"].clone(), budgets)


def names(candidate: Any) -> list[str]:
    return [v.name for v in candidate.victims]


def test_the_most_important_pods_are_spared_first() -> None:
    running = [pod(f"p{i}", on="n", cpu="2", priority=i) for i in range(5)]
    assert names(_victims(running, pod("new", cpu="4", priority=9))) == ["p1", "p0"]


def test_among_equals_the_longest_running_is_spared() -> None:
    running = [pod(f"p{i}", on="n", cpu="5") for i in range(2)]
    running[0].status.startTime = "2026-01-01T00:05:00Z"
    running[1].status.startTime = "2026-01-01T00:01:00Z"
    assert names(_victims(running, pod("new", cpu="5", priority=1))) == ["p0"]


def test_protected_pods_are_spared_where_there_is_a_choice() -> None:
    running = [
        pod("db", on="n", cpu="5", labels={"app": "db"}),
        pod("web", on="n", cpu="5", priority=1, labels={"app": "web"}),
    ]
    found = _victims(running, pod("new", cpu="5", priority=9), budget("db", "db", 0))
    assert (names(found), found.violations) == (["web"], 0)


def test_a_budget_allows_so_many_disruptions() -> None:
    running = [pod(f"db{i}", on="n", cpu="5", labels={"app": "db"}) for i in range(2)]
    found = _victims(running, pod("new", cpu="10", priority=9), budget("db", "db", 1))
    assert (len(found.victims), found.violations) == (2, 1)
    counted_already = budget(
        "db", "db", 0, disruptedPods={"db0": "2026-01-01T00:00:00Z", "db1": "2026-01-01T00:00:00Z"}
    )
    assert _victims(running, pod("new", cpu="10", priority=9), counted_already).violations == 0


def candidate(name: str, violations: int, *victims: tuple[int, str]) -> Candidate:
    pods = []
    for priority, start in victims:
        made = pod("v", priority=priority)
        made.status.startTime = start
        pods.append(PodInfo(made))
    return Candidate(name, tuple(pods), violations)


EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (candidate("a", 1, (0, EARLY)), candidate("b", 0, (5, EARLY), (5, EARLY))),
        (candidate("a", 0, (5, EARLY)), candidate("b", 0, (4, EARLY), (4, EARLY))),
        (candidate("a", 0, (5, EARLY), (3, EARLY)), candidate("b", 0, (5, EARLY), (2, EARLY))),
        (candidate("a", 0, (-5, EARLY), (-5, EARLY)), candidate("b", 0, (-5, EARLY))),
        (candidate("a", 0, (5, EARLY)), candidate("b", 0, (5, LATE))),
    ],
)
def test_which_node_is_better(worse: Candidate, better: Candidate) -> None:
    assert best_candidate([worse, better]).node == better.node
    assert best_candidate([better, worse]).node == better.node


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_victims_are_lesser_and_none_could_be_spared(seed: int) -> None:
    random = Random(seed)
    running = [
        pod(f"p{i}", on="n", cpu=str(random.randrange(1, 4)), priority=random.randrange(5))
        for i in range(random.randrange(1, 7))
    ]
    preemptor = pod("new", cpu=str(random.randrange(1, 8)), priority=random.randrange(6))
    used = sum(int(p.spec.containers[0].resources.requests["cpu"]) for p in running)
    found = _victims(running, preemptor, cpu=str(used))
    wanted = int(preemptor.spec.containers[0].resources.requests["cpu"])
    sizes = {p.metadata.name: int(p.spec.containers[0].resources.requests["cpu"]) for p in running}
    priorities = {p.metadata.name: p.spec.priority or 0 for p in running}
    if not isinstance(found, Candidate):
        lesser = sum(sizes[n] for n, priority in priorities.items() if priority < (preemptor.spec.priority or 0))
        assert lesser < wanted
        return
    freed = sum(sizes[n] for n in names(found))
    assert all(priorities[n] < preemptor.spec.priority for n in names(found))
    assert freed >= wanted
    assert all(freed - sizes[n] < wanted for n in names(found))
