"""Whatever becomes of pods, caches and controllers: no more pods than allowed, and every one counted once."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api.batch import Job
from kybern.api.core import Pod
from tests.controllers.chaos import ChaoticWorld
from tests.controllers.jobs import active, conditions, controllers, end, indexed, indexes, job, place, the_job, tracked


class JobWorld(ChaoticWorld):
    """Checks the limits whenever a pod is made, and remembers all that were."""

    def __init__(self, random: Random, parallelism: int, chance: float = 0.03) -> None:
        super().__init__(random, chance)
        self.parallelism = parallelism
        self.made: set[str] = set()

    def _die_perhaps(self, verb: str, kind: type[Any], namespace: str, name: str) -> None:
        self.check()
        super()._die_perhaps(verb, kind, namespace, name)

    def check(self) -> None:
        working = [pod for pod in active(self) if not pod.metadata.deletionTimestamp]
        assert len(working) <= self.parallelism
        if the_job(self).spec.completionMode == "Indexed":
            assert len(set(indexes(working))) == len(working), "an index is worked on twice"
        self.made |= {pod.metadata.uid for pod in self.all(Pod)}

    async def happen(self, failing: float, deleting: float) -> None:
        """Some pods start, some end, some are deleted, some disappear."""
        for pod in active(self):
            luck = self.random.random()
            if pod.metadata.deletionTimestamp:
                await self._confirm(pod, luck)
            elif not pod.spec.nodeName and luck < 0.5:
                await place(self, pod)
            elif luck < deleting:
                await self.client.delete(Pod, pod.metadata.name, "default")
            elif luck < 0.7:
                await end(self, pod, 1 if self.random.random() < failing else 0)

    async def _confirm(self, pod: Any, luck: float) -> None:
        """The kubelet ends a pod that is being deleted: it fails, it succeeds on its way out, or it is just gone."""
        if luck < 0.6:
            await end(self, pod, 143 if luck < 0.4 else 0)
        elif not pod.metadata.finalizers:
            await self.client.remove(Pod, pod.metadata.name, "default")


async def _run(world: JobWorld, data: dict[str, Any], failing: float, deleting: float) -> None:
    await world.apply(Job, data)
    for step in range(120):
        await world.live(controllers, world.random.choice((0.0, 0.5, 4.0, 30.0, 700.0)))
        world.check()
        await world.happen(failing, deleting)
        if conditions(world) and conditions(world)[-1].startswith(("Complete", "Failed")):
            break
        if step > 60:
            world.chance, failing, deleting = 0.0, 0.0, 0.0
    world.chance = 0.0
    await world.live(controllers, 30)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 8), st.booleans(), st.sampled_from([0.0, 0.3, 0.6]))
def test_every_pod_is_counted_exactly_once(
    seed: int, parallelism: int, completions: int, by_index: bool, failing: float
) -> None:
    """Not one too many at work, not one lost, not one counted twice."""
    make = indexed if by_index else job
    world = JobWorld(Random(seed), parallelism)
    anyio.run(_run, world, make(completions, parallelism, backoffLimit=10_000), failing, 0.1)
    status = the_job(world).status
    assert conditions(world)[-1].startswith("Complete=True"), conditions(world)
    assert not tracked(world)
    assert status.succeeded == completions
    assert (status.succeeded or 0) + (status.failed or 0) == len(world.made)
    assert status.uncountedTerminatedPods.succeeded is None and status.uncountedTerminatedPods.failed is None
    if by_index:
        done = indexes([pod for pod in world.all(Pod) if pod.status.phase == "Succeeded"])
        assert set(done) == set(range(completions))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 3), st.integers(1, 4))
def test_a_limit_is_never_overdrawn_by_much_and_never_forgotten(seed: int, limit: int, parallelism: int) -> None:
    """A Job whose pods all fail ends with at least one failure over its limit, and at most what ran in parallel."""
    world = JobWorld(Random(seed), parallelism)
    anyio.run(_run, world, job(20, parallelism, backoffLimit=limit), 1.0, 0.0)
    status = the_job(world).status
    assert conditions(world)[-1] == "Failed=True BackoffLimitExceeded", conditions(world)
    assert limit < status.failed <= limit + 2 * parallelism
    assert (status.succeeded or 0) + status.failed == len(world.made)
    assert not tracked(world)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 6), st.integers(0, 2))
def test_limits_by_index_hold(seed: int, parallelism: int, completions: int, limit: int) -> None:
    """Every index either succeeds or fails exactly one time more than it may."""
    world = JobWorld(Random(seed), parallelism)
    data = indexed(completions, parallelism, backoffLimitPerIndex=limit, backoffLimit=2**31 - 1)
    anyio.run(_run, world, data, 0.5, 0.0)
    status = the_job(world).status
    assert conditions(world)[-1].startswith(("Complete=True", "Failed=True FailedIndexes")), conditions(world)
    pods = world.all(Pod)
    for index in range(completions):
        ends = [pod.status.phase for pod in pods if indexes([pod]) == [index]]
        assert ends.count("Succeeded") == 1 or ends.count("Failed") == limit + 1
        assert len(ends) <= limit + 1
    assert status.succeeded or status.failedIndexes
    assert (status.succeeded or 0) + (status.failed or 0) == len(world.made)


def test_chaos_does_kill() -> None:
    """The properties mean something only if controllers die and caches lag."""
    world = JobWorld(Random(1), 3, chance=0.1)
    anyio.run(_run, world, job(8, 3, backoffLimit=100), 0.3, 0.1)
    assert world.deaths > 2
    world.parallelism = -1
    with pytest.raises(AssertionError):
        world.check()
