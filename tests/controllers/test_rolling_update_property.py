"""A rolling update never breaks maxSurge or maxUnavailable, whatever happens to pods and spec meanwhile."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kybern.api.apps import Deployment
from kybern.api.core import Pod
from kybern.testing.world import World
from kybern_controllers_workloads.deployment_scaling import Limits, limits
from tests.controllers.rollouts import controllers, deployment, images, set_image

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ready"), st.integers(0, 30)),
        st.tuples(st.just("unready"), st.integers(0, 30)),
        st.tuples(st.just("kill"), st.integers(0, 30)),
        st.tuples(st.just("image"), st.integers(1, 4)),
        st.tuples(st.just("end"), st.just(0)),
    ),
    max_size=25,
)
AMOUNT = st.one_of(st.integers(0, 5), st.integers(0, 100).map(lambda n: f"{n}%"))


def is_ready(pod: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


def alive(world: World) -> list[Any]:
    return [pod for pod in world.all(Pod) if not pod.metadata.deletionTimestamp]


class Watcher:
    """Looks at every single write that the controllers make. (What it raised, the engine would retry.)"""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[str] = []
        world.client.intercept = self.before

    def before(self, verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind is not Pod or verb not in ("create", "delete"):
            return
        spec, (surge, unavailable) = self.world.all(Deployment)[0].spec, limits(self.world.all(Deployment)[0])
        pods = alive(self.world)
        if verb == "create":
            if len(pods) + 1 > spec.replicas + surge:
                self.violations.append(f"{len(pods) + 1} pods")
            return
        victim = next(p for p in pods if p.metadata.name == name)
        left = sum(map(is_ready, pods)) - 1
        if is_ready(victim) and left < spec.replicas - unavailable:
            self.violations.append(f"only {left} available")


@settings(max_examples=60)
@given(replicas=st.integers(1, 12), surge=AMOUNT, unavailable=AMOUNT, steps=STEPS)
def test_rolling_update_never_breaks_max_unavailable_or_max_surge(
    replicas: int, surge: int | str, unavailable: int | str, steps: list[tuple[str, int]]
) -> None:
    assume({surge, unavailable} - {0, "0%"})  # the server refuses what could never move
    asyncio.run(roll(replicas, surge, unavailable, steps))


async def roll(replicas: int, surge: int | str, unavailable: int | str, steps: list[tuple[str, int]]) -> None:
    world = World()
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    await world.apply(Deployment, deployment(replicas, strategy=rolling))
    async with world.running(*controllers()):
        await world.run_pods()
        watcher = Watcher(world)
        await set_image(world, "nginx:2")
        await world.settle(1)
        for what, number in steps:
            await step(world, what, number)
            await world.settle(1)
        last = world.all(Deployment)[0].spec.template.spec.containers[0].image
        await world.run_pods()
        assert images(world) == [last] * replicas
        assert watcher.violations == []


async def step(world: World, what: str, number: int) -> None:
    pods = alive(world)
    if what == "image":
        await set_image(world, f"nginx:{number}")
    elif what == "end":
        for pod in world.all(Pod):
            if pod.metadata.deletionTimestamp:
                await world.client.remove(Pod, pod.metadata.name, "default")
    elif pods:
        pod = pods[number % len(pods)]
        if what == "kill":
            await world.client.remove(Pod, pod.metadata.name, "default")
        else:
            await world.make_ready([pod], what == "ready")


@settings(max_examples=200)
@given(replicas=st.integers(0, 1000), surge=AMOUNT, unavailable=AMOUNT)
def test_percentages_round_surge_up_and_unavailable_down(
    replicas: int, surge: int | str, unavailable: int | str
) -> None:
    from kybern.api import types

    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    found = limits(types.from_plain(Deployment, deployment(replicas, strategy=rolling)))
    up = math.ceil(int(surge[:-1]) * replicas / 100 - 1e-9) if isinstance(surge, str) else surge
    down = math.floor(int(unavailable[:-1]) * replicas / 100 + 1e-9) if isinstance(unavailable, str) else unavailable
    if not up and not down:
        down = 1
    assert found == Limits(up, min(down, replicas))
