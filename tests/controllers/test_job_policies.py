"""Indexed Jobs, limits by index, and the policies for failure and success."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api.batch import Job
from kybern.api.core import Pod
from kybern.testing.world import World
from kybern_controllers_workloads.job_indexes import Indexes
from tests.controllers.jobs import (
    active,
    conditions,
    controllers,
    end,
    end_all,
    indexed,
    indexes,
    job,
    the_job,
    tracked,
)

pytestmark = pytest.mark.anyio

ALL = st.sets(st.integers(0, 40))


@pytest.mark.parametrize(
    ("indexes", "text"),
    [((), ""), ((0,), "0"), ((0, 1), "0,1"), ((0, 1, 2), "0-2"), ((1, 3, 4, 5, 7), "1,3-5,7"), ((0, 2, 3), "0,2,3")],
)
def test_indexes_as_text(indexes: tuple[int, ...], text: str) -> None:
    assert str(Indexes.of(indexes)) == text
    assert Indexes.parse(text, 100) == Indexes.of(indexes)


def test_indexes_beyond_the_limit_and_nonsense_are_passed_over() -> None:
    assert str(Indexes.parse("0-3,x,7,9-", 3)) == "0-2"
    assert str(Indexes.parse("2,5-9", 7)) == "2,5,6"


@given(ALL, ALL)
def test_indexes_are_sets(a: set[int], b: set[int]) -> None:
    mine, other = Indexes.of(a), Indexes.of(b)
    assert mine | other == Indexes.of(a | b)
    assert len(mine) == len(a)
    assert mine.common(other) == len(a & b)
    assert [i for i in range(45) if i in mine] == sorted(a)
    assert list(mine.missing(45)) == [i for i in range(45) if i not in a]
    assert Indexes.parse(str(mine), 41) == mine


async def test_every_index_has_a_pod_that_knows_it(world: World) -> None:
    await world.apply(Job, indexed(3, 2))
    async with world.running(*controllers()):
        await world.settle(1)
        pod = world.all(Pod)[1]
        assert indexes(world.all(Pod)) == [0, 1]
        assert pod.metadata.name.startswith("work-1-") and pod.spec.hostname == "work-1"
        assert pod.metadata.labels["batch.kubernetes.io/job-completion-index"] == "1"
        variable = pod.spec.containers[0].env[0]
        path = "metadata.labels['batch.kubernetes.io/job-completion-index']"
        assert (variable.name, variable.valueFrom.fieldRef.fieldPath) == ("JOB_COMPLETION_INDEX", path)
        await end(world, pod)
        await world.settle(1)
        assert the_job(world).status.completedIndexes == "1"
        assert indexes(active(world)) == [0, 2]
        await end_all(world)
        assert the_job(world).status.completedIndexes == "0-2"
        assert conditions(world)[-1] == "Complete=True CompletionsReached"


async def test_long_names_leave_room_for_the_index(world: World) -> None:
    await world.apply(Job, indexed(1, 1, name="n" * 61))
    async with world.running(*controllers()):
        await world.settle(1)
        pod = world.all(Pod)[0]
        assert pod.metadata.generateName == "n" * 55 + "-0-" and len(pod.metadata.name) == 63


async def test_a_second_success_of_an_index_counts_once(world: World) -> None:
    await world.apply(Job, indexed(2, 2))
    async with world.running(*controllers()):
        await world.settle(1)
        first = world.all(Pod)[0]
        twin = {
            "metadata": {
                "name": "twin",
                "labels": first.metadata.labels,
                "annotations": first.metadata.annotations,
                "finalizers": first.metadata.finalizers,
                "ownerReferences": [
                    {
                        "apiVersion": "batch/v1",
                        "kind": "Job",
                        "name": "work",
                        "uid": the_job(world).metadata.uid,
                        "controller": True,
                    }
                ],
            },
            "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            "status": {"phase": "Succeeded"},
        }
        await world.apply(Pod, twin)
        await end(world, first)
        await world.settle(1)
        assert (the_job(world).status.completedIndexes, the_job(world).status.succeeded) == ("0", 1)
        assert conditions(world) == []


async def test_of_two_active_pods_of_an_index_one_goes(world: World) -> None:
    await world.apply(Job, indexed(3, 2))
    async with world.running(*controllers()):
        await world.settle(1)
        pods = world.all(Pod)
        both = {"metadata": {"annotations": {"batch.kubernetes.io/job-completion-index": "0"}}}
        await world.client.patch(Pod, pods[1].metadata.name, "default", both)
        await world.settle(1)
        assert indexes(active(world)) == [0, 1]


async def test_each_index_has_its_own_limit_and_back_off(world: World) -> None:
    await world.apply(Job, indexed(3, 3, backoffLimitPerIndex=1, backoffLimit=2**31 - 1))
    async with world.running(*controllers()):
        await world.settle(1)
        bad, good, slow = world.all(Pod)
        await end(world, bad, 1)
        await end(world, good)
        await world.settle(5)
        assert indexes(active(world)) == [2]
        assert tracked(world), "the failed pod is kept until its successor has its count"
        await world.settle(6)
        assert indexes(active(world)) == [0, 2]
        again = active(world)[-1]
        assert again.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] == "1"
        await end(world, again, 1)
        await world.settle(1)
        status = the_job(world).status
        assert (status.failedIndexes, status.completedIndexes, status.failed) == ("0", "1", 2)
        await end(world, slow)
        await world.settle(1)
        assert conditions(world) == ["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"]
        assert the_job(world).status.completedIndexes == "1,2"
        assert not tracked(world)


async def test_too_many_failed_indexes_end_the_job(world: World) -> None:
    await world.apply(Job, indexed(5, 3, backoffLimitPerIndex=0, maxFailedIndexes=1, backoffLimit=2**31 - 1))
    async with world.running(*controllers()):
        await world.settle(1)
        pods = world.all(Pod)
        await end(world, pods[0], 1)
        await world.settle(1)
        assert the_job(world).status.failedIndexes == "0" and len(active(world)) == 3
        await end(world, pods[1], 1)
        await world.settle(1)
        assert conditions(world)[-1] == "Failed=True MaxFailedIndexesExceeded"
        assert active(world) == []


def on_codes(action: str, *codes: int, operator: str = "In") -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes)}}


def on_condition(action: str, type: str) -> dict[str, Any]:
    return {"action": action, "onPodConditions": [{"type": type, "status": "True"}]}


async def test_policy_fails_the_job_at_once(world: World) -> None:
    rules = [on_codes("Count", 1), on_codes("FailJob", 42)]
    await world.apply(Job, job(4, 2, podFailurePolicy={"rules": rules}))
    async with world.running(*controllers()):
        await world.settle(1)
        pod = world.all(Pod)[0]
        await end(world, pod, 42)
        await world.settle(1)
        condition = the_job(world).status.conditions[-1]
        assert (condition.type, condition.reason) == ("Failed", "PodFailurePolicy")
        name = pod.metadata.name
        text = f"Container c for pod default/{name} failed with exit code 42 matching FailJob rule at index 1"
        assert condition.message == text
        assert active(world) == [] and the_job(world).status.failed == 2


async def test_policy_by_condition(world: World) -> None:
    rules = [on_condition("FailJob", "ConfigIssue")]
    await world.apply(Job, job(1, podFailurePolicy={"rules": rules}))
    async with world.running(*controllers()):
        await world.settle(1)
        pod = world.all(Pod)[0]
        await end(world, pod, 1, condition="ConfigIssue")
        await world.settle(1)
        text = f"Pod default/{pod.metadata.name} has condition ConfigIssue matching FailJob rule at index 0"
        assert the_job(world).status.conditions[-1].message == text


async def test_ignored_failures_count_towards_nothing(world: World) -> None:
    rules = [on_condition("Ignore", "DisruptionTarget")]
    await world.apply(Job, job(1, backoffLimit=0, podFailurePolicy={"rules": rules}))
    async with world.running(*controllers()):
        for _ in range(3):
            await world.clock.advance_until(lambda: bool(active(world)))
            await end(world, active(world)[0], 137, condition="DisruptionTarget")
            await world.settle(1)
            assert the_job(world).status.failed is None and not conditions(world)
        await world.clock.advance_until(lambda: bool(active(world)))
        await end_all(world)
        assert conditions(world)[-1].startswith("Complete=True")
        assert not tracked(world)


async def test_policy_not_in_means_any_other_failure(world: World) -> None:
    rules = [on_codes("FailJob", 1, 2, operator="NotIn")]
    await world.apply(Job, job(2, 1, podFailurePolicy={"rules": rules}))
    async with world.running(*controllers()):
        await world.settle(1)
        await end_all(world, 2)
        assert not conditions(world)
        await world.settle(10)
        await end_all(world)
        assert not conditions(world), "0 is no failure"
        await end_all(world, 7)
        assert conditions(world)[-1] == "Failed=True PodFailurePolicy"


async def test_policy_gives_up_an_index(world: World) -> None:
    rules = [on_codes("FailIndex", 42)]
    spec = {"backoffLimitPerIndex": 5, "backoffLimit": 2**31 - 1, "podFailurePolicy": {"rules": rules}}
    await world.apply(Job, indexed(2, 2, podReplacementPolicy="Failed", **spec))
    async with world.running(*controllers()):
        await world.settle(1)
        await end(world, world.all(Pod)[0], 42)
        await world.settle(60)
        assert the_job(world).status.failedIndexes == "0"
        assert indexes(active(world)) == [1]
        await end_all(world)
        assert conditions(world)[-1] == "Failed=True FailedIndexes"


@pytest.mark.parametrize(
    ("rule", "ended", "met"),
    [
        ({"succeededIndexes": "0"}, [0], True),
        ({"succeededIndexes": "1,2"}, [0, 1], False),
        ({"succeededIndexes": "1-3", "succeededCount": 2}, [1, 3], True),
        ({"succeededIndexes": "1-3", "succeededCount": 2}, [0, 1], False),
        ({"succeededCount": 2}, [0, 3], True),
    ],
)
async def test_success_policy(world: World, rule: dict[str, Any], ended: list[int], met: bool) -> None:
    await world.apply(Job, indexed(4, 4, successPolicy={"rules": [rule]}))
    async with world.running(*controllers()):
        await world.settle(1)
        pods = world.all(Pod)
        for index in ended:
            await end(world, pods[index])
        await world.settle(2)
        if not met:
            assert not conditions(world)
            return
        assert conditions(world) == ["SuccessCriteriaMet=True SuccessPolicy", "Complete=True SuccessPolicy"]
        condition = the_job(world).status.conditions[-1]
        assert condition.message == "Matched rules at index 0"
        assert active(world) == []
        assert (the_job(world).status.succeeded, the_job(world).status.failed) == (len(ended), None)
