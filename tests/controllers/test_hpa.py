"""The autoscaler at work: what it asks, writes and tells; killed, raced and lied to."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps import Deployment
from kybern.api.autoscaling import HorizontalPodAutoscaler
from kybern.api.core import Pod
from kybern.api.time import format_time
from kybern.testing.world import World
from kybern_controllers_workloads.hpa import HorizontalPodAutoscalerController
from tests.controllers.chaos import live_until_killed
from tests.controllers.hpa_world import MeasuredClient, autoscaler

pytestmark = pytest.mark.anyio

SCALE = "/apis/apps/v1/namespaces/default/deployments/web/scale"


@pytest.fixture
def world() -> World:
    made = World()
    made.client = MeasuredClient(made.clock)
    return made


async def deploy(world: World, replicas: int = 2) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    await world.apply(Deployment, {"metadata": {"name": "web"}, "spec": spec})
    await populate(world)


async def populate(world: World) -> None:
    """Be the Deployment's controllers and the nodes: as many old and ready pods as are wanted."""
    wanted = (await world.client.get(Deployment, "web", "default")).spec.replicas
    for pod in world.all(Pod)[wanted:]:
        await world.client.remove(Pod, pod.metadata.name, "default")
    for i in range(len(world.all(Pod)), wanted):
        spec = {"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m"}}}]}
        made = await world.apply(Pod, {"metadata": {"name": f"web-{i}", "labels": {"app": "web"}}, "spec": spec})
        await world.set_status(made, lambda pod: setattr(pod.status, "startTime", format_time(world.clock.now() - 900)))
    for pod in world.all(Pod):
        if pod.status.phase != "Running":
            await world.make_ready([pod])
            old = types.copy(await world.client.get(Pod, pod.metadata.name, "default"))
            old.status.conditions[0].lastTransitionTime = format_time(world.clock.now() - 890)
            await world.client.update_status(old)
    await world.set_status(
        await world.client.get(Deployment, "web", "default"), lambda d: setattr(d.status, "replicas", wanted)
    )


async def live(world: World, periods: int = 1) -> list[int]:
    """Let periods pass; the sizes after each."""
    sizes = []
    for _ in range(periods):
        await world.settle(15)
        await populate(world)
        sizes.append(len(world.all(Pod)))
    return sizes


def status(world: World) -> Any:
    return world.all(HorizontalPodAutoscaler)[0].status


def reason(world: World, type: str) -> str:
    return str(next((c.reason for c in status(world).conditions if c.type == type), ""))


async def test_grows_at_once_and_shrinks_after_five_minutes(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world, 2) == [2, 2]
        world.client.share = 100
        assert await live(world) == [4]
        assert status(world).lastScaleTime
        world.client.share = 20
        sizes = await live(world, 45)
        assert sizes[:18] == [4] * 18 and sizes[-1] == 1
        assert status(world).currentMetrics[0].resource.current.averageUtilization == 20
        assert [e for e in world.events() if "Rescale" in e] == [
            "Normal SuccessfulRescale New size: 4; reason: cpu resource utilization (percentage of request) above target",
            "Normal SuccessfulRescale New size: 2; reason: All metrics below target",
            "Normal SuccessfulRescale New size: 1; reason: All metrics below target",
        ]


async def test_without_autoscalers_nothing_is_asked(world: World) -> None:
    await deploy(world)
    async with world.running(HorizontalPodAutoscalerController()) as engine:
        await world.settle(3600)
        assert world.client.asked == []
        made = await world.apply(HorizontalPodAutoscaler, autoscaler())
        await world.settle(60)
        assert world.client.asked.count(f"GET {SCALE}") == 5
        await world.client.delete(HorizontalPodAutoscaler, made.metadata.name, "default")
        await world.settle(60)
        before = engine.controllers["horizontal-pod-autoscaler"].reconciled, len(world.client.asked)
        await world.settle(3600)
        assert before == (engine.controllers["horizontal-pod-autoscaler"].reconciled, len(world.client.asked))


async def test_at_rest_nothing_is_written(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    async with world.running(HorizontalPodAutoscalerController()):
        await live(world, 2)
        world.took()
        await world.settle(600)
        assert world.took() == []


async def test_a_changed_spec_counts_at_once(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    async with world.running(HorizontalPodAutoscalerController()):
        await live(world)
        await world.client.patch(HorizontalPodAutoscaler, "web", "default", {"spec": {"minReplicas": 3}})
        await world.settle()
        assert world.all(Deployment)[0].spec.replicas == 3


async def test_a_target_that_is_not_there_is_told_and_found_later(world: World) -> None:
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    async with world.running(HorizontalPodAutoscalerController()):
        await world.settle(40)
        condition = status(world).conditions[0]
        assert (condition.type, condition.status, condition.reason) == ("AbleToScale", "False", "FailedGetScale")
        assert condition.message.startswith(
            "the HPA controller was unable to get the target's current scale: deployments"
        )
        assert any(e.startswith("Warning FailedGetScale deployments.apps") for e in world.events())
        await deploy(world)
        await live(world)
        assert status(world).conditions[0].status == "True"


async def test_a_kind_that_nobody_serves_is_told(world: World) -> None:
    made = autoscaler()
    made["spec"]["scaleTargetRef"]["kind"] = "Balloon"
    await world.apply(HorizontalPodAutoscaler, made)
    async with world.running(HorizontalPodAutoscalerController()):
        await world.settle(1)
        assert 'Warning FailedGetScale no matches for kind "Balloon" in group "apps"' in world.events()


async def test_without_measures_the_size_stays_and_the_reason_is_told(world: World) -> None:
    await deploy(world, 3)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    world.client.share = None
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world, 30) == [3] * 30
        active = next(c for c in status(world).conditions if c.type == "ScalingActive")
        assert (active.status, active.reason) == ("False", "FailedGetResourceMetric")
        assert active.message.endswith("cpu: no metrics returned from resource metrics API")
        world.client.share = 50
        await live(world)
        active = next(c for c in status(world).conditions if c.type == "ScalingActive")
        assert active.status == "True" and active.lastTransitionTime == format_time(world.clock.now())


async def test_a_selector_that_cannot_be_read_is_told(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    raw = world.client.raw

    async def odd(*request: Any) -> tuple[int, bytes]:
        code, body = await raw(*request)
        return code, body.replace(b'"selector":"app=web"', b'"selector":"cheddar cheese"')

    world.client.raw = odd
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world, 2) == [2, 2]
        assert reason(world, "ScalingActive") == "InvalidSelector"
        assert any(e.startswith("Warning InvalidSelector couldn't convert selector") for e in world.events())


async def test_two_autoscalers_of_the_same_pods_do_not_fight(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    rival = autoscaler(least=3)
    rival["metadata"]["name"] = "rival"
    async with world.running(HorizontalPodAutoscalerController()):
        await live(world)
        world.client.share = 100
        await world.apply(HorizontalPodAutoscaler, rival)
        await live(world, 6)
        reasons = {c.reason for hpa in world.all(HorizontalPodAutoscaler) for c in hpa.status.conditions}
        assert "AmbiguousSelector" in reasons
        before = len(world.all(Pod))
        assert await live(world, 3) == [before] * 3
        await world.client.delete(HorizontalPodAutoscaler, "rival", "default")
        assert (await live(world, 2))[-1] > before


async def test_a_writer_that_comes_between_is_overruled_by_what_was_measured(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    client = world.client

    async def meddle(verb: str, *_: Any) -> None:
        if verb != "update-scale":
            return
        client.intercept = None
        await client.patch(Deployment, "web", "default", {"spec": {"replicas": 3}})

    async with world.running(HorizontalPodAutoscalerController()):
        await live(world)
        client.share, client.intercept = 100, meddle
        assert await live(world) == [4]
        assert reason(world, "AbleToScale") == "SucceededRescale"
        assert not any("FailedRescale" in e for e in world.events())


async def test_a_writer_that_never_rests_is_given_way_and_told_of(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    client, notes = world.client, iter(range(1000))

    async def meddle(verb: str, *_: Any) -> None:
        if verb == "update-scale":
            await client.patch(Deployment, "web", "default", {"metadata": {"labels": {"n": str(next(notes))}}})

    async with world.running(HorizontalPodAutoscalerController()):
        await live(world)
        client.share, client.intercept = 100, meddle
        assert await live(world) == [2]
        assert next(notes) == 5, "it tried a few times"
        assert reason(world, "AbleToScale") == "FailedUpdateScale"
        assert any(e.startswith("Warning FailedRescale New size: 4; reason: cpu") for e in world.events())
        assert status(world).desiredReplicas == 2
        client.intercept = None
        assert await live(world) == [4]


async def test_after_a_restart_it_does_not_shrink_before_a_whole_window(world: World) -> None:
    await deploy(world, 8)
    await world.apply(HorizontalPodAutoscaler, autoscaler())
    world.client.share = 10
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world, 15) == [8] * 15
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world, 19) == [8] * 19
        assert (await live(world, 3))[-1] == 2


QUEUE = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue",
         "averageValue": "10"}}}  # fmt: skip
ANY = {"policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}], "stabilizationWindowSeconds": 0}
NOW = {"scaleDown": ANY, "scaleUp": ANY}


async def test_it_goes_to_zero_and_comes_back_when_there_is_work(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler(QUEUE, least=0, behavior=NOW))
    world.client.queue = 0
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world, 3) == [0, 0, 0]
        assert reason(world, "ScaledToZero") == "ScaledToZero"
        assert reason(world, "ScalingActive") == "ValidMetricFound"
        assert (status(world).currentReplicas, status(world).desiredReplicas) == (None, 0)
        world.client.queue = 25
        assert await live(world, 2) == [3, 3]
        assert reason(world, "ScaledToZero") == "NotScaledToZero"
        assert "Normal SuccessfulRescale New size: 0; reason: All metrics below target" in world.events()
        await scale(world, 0)
        assert await live(world, 3) == [0, 0, 0], "somebody else's zero is left alone"
        assert reason(world, "ScalingActive") == "ScalingDisabled"


async def test_what_went_to_zero_wakes_when_the_minimum_is_raised_after_a_restart(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler(QUEUE, least=0, behavior=NOW))
    world.client.queue = 0
    async with world.running(HorizontalPodAutoscalerController()):
        await live(world)
    await world.client.patch(HorizontalPodAutoscaler, "web", "default", {"spec": {"minReplicas": 1}})
    async with world.running(HorizontalPodAutoscalerController()):
        assert await live(world) == [1]


async def test_a_zero_that_somebody_ended_is_not_its_own_any_more(world: World) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler(QUEUE, least=0, behavior=NOW))
    world.client.queue = 0
    async with world.running(HorizontalPodAutoscalerController()):
        await live(world)
        world.client.queue = 20
        await scale(world, 2)
        await live(world)
        assert reason(world, "ScaledToZero") == "NotScaledToZero"


async def scale(world: World, replicas: int) -> None:
    await world.client.patch(Deployment, "web", "default", {"spec": {"replicas": replicas}})
    await populate(world)


WRITES = (("update-scale", "Deployment"), ("update-status", "HorizontalPodAutoscaler"))


@pytest.mark.parametrize("write", [1, 2, 3])
async def test_killed_at_any_write_on_the_way_to_zero_it_wakes_again(world: World, write: int) -> None:
    await deploy(world)
    await world.apply(HorizontalPodAutoscaler, autoscaler(QUEUE, least=0, behavior=NOW))
    world.client.queue = 0
    assert await live_until_killed(
        world,
        HorizontalPodAutoscalerController(),
        counts=lambda verb, kind: (verb, kind) in WRITES,
        after=write - 1,
        seconds=400,
    )
    await populate(world)
    world.client.queue = 30
    async with world.running(HorizontalPodAutoscalerController()):
        assert (await live(world, 3))[-1] == 3
