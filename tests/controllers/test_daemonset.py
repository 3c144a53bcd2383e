"""DaemonSet: a pod per node that should have one, through taints, failures and updates."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.apps import ControllerRevision, DaemonSet
from kybern.api.core import Node, Pod
from kybern.testing.world import World
from kybern_controllers_workloads.daemonset import DaemonSetController
from kybern_controllers_workloads.daemonset_nodes import node_of
from kybern_controllers_workloads.daemonset_plan import limits
from tests.controllers.chaos import live_until_killed

pytestmark = pytest.mark.anyio


def daemon_set(image: str = "agent:1", rolling: dict[str, Any] | None = None, **template: Any) -> dict[str, Any]:
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling or {"maxSurge": 0, "maxUnavailable": 1}}
    return {
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "updateStrategy": strategy,
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "c", "image": image}], **template},
            },
        },
    }


async def add_nodes(world: World, *names: str, **spec: Any) -> None:
    for name in names:
        node = {"metadata": {"name": name, "labels": {"disk": "ssd" if name < "c" else "hdd"}}, "spec": spec}
        await world.client.create(types.from_plain(Node, node))


def alive(world: World) -> list[Any]:
    return [pod for pod in world.all(Pod) if not pod.metadata.deletionTimestamp]


def on(world: World) -> dict[str, str]:
    """Node -> image of its pod."""
    return {node_of(pod): pod.spec.containers[0].image for pod in sorted(alive(world), key=node_of)}


async def set_image(world: World, image: str) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    await world.client.patch(DaemonSet, "agent", "default", {"spec": {"template": template}})
    await world.settle(1)


def status(world: World) -> Any:
    return world.all(DaemonSet)[0].status


async def test_every_node_gets_its_pod(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        assert on(world) == {"a": "agent:1", "b": "agent:1"}
        await add_nodes(world, "c")
        await world.run_pods()
        assert list(on(world)) == ["a", "b", "c"]
        s = status(world)
        counts = (s.desiredNumberScheduled, s.currentNumberScheduled, s.numberReady, s.numberAvailable)
        assert counts == (3, 3, 3, 3)
        assert (s.numberMisscheduled, s.numberUnavailable, s.updatedNumberScheduled) == (0, None, 3)


async def test_its_pods_can_only_go_to_their_node_and_bear_its_troubles(world: World) -> None:
    await add_nodes(world, "a")
    made = daemon_set(hostNetwork=True)
    made["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "7"}
    await world.apply(DaemonSet, made)
    async with world.running(DaemonSetController()):
        await world.settle(1)
        (pod,) = world.all(Pod)
        affinity = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
        (field,) = affinity.nodeSelectorTerms[0].matchFields
        assert (field.key, field.operator, field.values) == ("metadata.name", "In", ["a"])
        borne = {(t.key.rpartition("/")[2], t.effect) for t in pod.spec.tolerations}
        assert borne == {
            ("not-ready", "NoExecute"),
            ("unreachable", "NoExecute"),
            ("disk-pressure", "NoSchedule"),
            ("memory-pressure", "NoSchedule"),
            ("pid-pressure", "NoSchedule"),
            ("unschedulable", "NoSchedule"),
            ("network-unavailable", "NoSchedule"),
        }
        assert pod.metadata.labels["pod-template-generation"] == "7"


async def test_only_on_the_nodes_it_selects(world: World) -> None:
    await add_nodes(world, "a", "b", "c", "d")
    expression = {"key": "disk", "operator": "NotIn", "values": ["ssd"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    await world.apply(DaemonSet, daemon_set(affinity=affinity))
    async with world.running(DaemonSetController()):
        await world.run_pods()
        assert list(on(world)) == ["c", "d"]
        await world.client.patch(Node, "c", "", {"metadata": {"labels": {"disk": "ssd"}}})
        await world.client.patch(Node, "a", "", {"metadata": {"labels": {"disk": "hdd"}}})
        await world.run_pods()
        assert list(on(world)) == ["a", "d"]


async def test_taints_keep_new_pods_away_and_drive_pods_out(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        for name, effect in (("a", "NoSchedule"), ("b", "NoExecute")):
            taint = {"key": "team", "value": "x", "effect": effect}
            await world.client.patch(Node, name, "", {"spec": {"taints": [taint]}})
        await world.run_pods()
        assert list(on(world)) == ["a"]
        assert (status(world).desiredNumberScheduled, status(world).numberMisscheduled) == (0, 1)
        await world.client.delete(Pod, alive(world)[0].metadata.name, "default")
        await world.run_pods()
        assert on(world) == {}


async def test_a_cordoned_node_keeps_getting_its_pod(world: World) -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    await add_nodes(world, "a", unschedulable=True, taints=[taint])
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        assert list(on(world)) == ["a"]


async def test_a_node_that_goes_takes_its_waiting_pod_along(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.settle(1)
        await world.client.delete(Node, "a")
        await world.settle(1)
        assert list(on(world)) == ["b"]


async def test_a_pod_that_fails_is_replaced_ever_later(world: World) -> None:
    await add_nodes(world, "a")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        made = []
        for _ in range(4):
            await world.settle(0.1)
            pod = alive(world)[0]
            made.append(world.clock.now())
            await world.set_status(pod, lambda p: setattr(p.status, "phase", "Failed"))
            for _ in range(100):
                await world.settle(0.1)
                if alive(world) and alive(world)[0].metadata.uid != pod.metadata.uid:
                    break
        gaps = [round(b - a) for a, b in pairwise(made)]
        assert gaps == [0, 1, 2]
        assert any("Warning FailedDaemonPod Found failed daemon pod default/agent-" in e for e in world.events())


async def test_an_update_replaces_one_at_a_time(world: World) -> None:
    await add_nodes(world, "a", "b", "c")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        await set_image(world, "agent:2")
        assert sorted(on(world).values()) == ["agent:1", "agent:1", "agent:2"]
        await world.run_pods()
        assert set(on(world).values()) == {"agent:2"} and len(on(world)) == 3
        assert status(world).updatedNumberScheduled == 3


async def test_an_update_with_surge_starts_the_new_before_the_old_goes(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set(rolling={"maxSurge": 1, "maxUnavailable": 0}))
    async with world.running(DaemonSetController()):
        await world.run_pods()
        await set_image(world, "agent:2")
        assert sorted(p.spec.containers[0].image for p in alive(world)) == ["agent:1", "agent:1", "agent:2"]
        await world.run_pods()
        assert set(on(world).values()) == {"agent:2"} and len(alive(world)) == 2


async def test_on_delete_updates_only_what_somebody_deletes(world: World) -> None:
    data = daemon_set()
    data["spec"]["updateStrategy"] = {"type": "OnDelete"}
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, data)
    async with world.running(DaemonSetController()):
        await world.run_pods()
        await set_image(world, "agent:2")
        await world.run_pods()
        assert on(world) == {"a": "agent:1", "b": "agent:1"}
        pod = next(p for p in alive(world) if node_of(p) == "a")
        await world.client.delete(Pod, pod.metadata.name, "default")
        await world.run_pods()
        assert on(world) == {"a": "agent:2", "b": "agent:1"}


async def test_history_and_rollback(world: World) -> None:
    await add_nodes(world, "a")
    data = daemon_set()
    data["spec"]["revisionHistoryLimit"] = 1
    await world.apply(DaemonSet, data)
    async with world.running(DaemonSetController()):
        for image in ("agent:1", "agent:2", "agent:3", "agent:2"):
            await set_image(world, image)
            await world.run_pods()
        found = {
            r.data["spec"]["template"]["spec"]["containers"][0]["image"]: r.revision
            for r in world.all(ControllerRevision)
        }
        assert found == {"agent:3": 3, "agent:2": 4}


@pytest.mark.parametrize(
    ("rolling", "expected"),
    [
        ({"maxUnavailable": "10%", "maxSurge": 0}, (0, 1)),
        ({"maxUnavailable": "21%", "maxSurge": 0}, (0, 3)),
        ({"maxUnavailable": 0, "maxSurge": "11%"}, (2, 0)),
        ({"maxUnavailable": 0, "maxSurge": 0}, (0, 1)),
    ],
)
def test_percentages_round_up(rolling: dict[str, Any], expected: tuple[int, int]) -> None:
    assert limits(types.from_plain(DaemonSet, daemon_set(rolling=rolling)), 10) == expected


async def test_at_rest_it_writes_nothing(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        world.took()
        await world.settle(3600)
        assert world.took() == []


@pytest.mark.parametrize("kind", ["DaemonSet", "Pod", "ControllerRevision"])
async def test_killed_at_every_step_and_restarted_it_converges(world: World, kind: str) -> None:
    await add_nodes(world, "a", "b", "c")
    await world.apply(DaemonSet, daemon_set())
    for step in range(6):
        template = {"spec": {"containers": [{"name": "c", "image": f"agent:{step}"}]}}
        await world.client.patch(DaemonSet, "agent", "default", {"spec": {"template": template}})
        await live_until_killed(
            world, DaemonSetController(), counts=lambda _, touched: touched == kind, after=step, seconds=4
        )
        async with world.running(DaemonSetController()):
            await world.run_pods()
            assert on(world) == dict.fromkeys("abc", f"agent:{step}") and len(alive(world)) == 3


STEPS = st.lists(
    st.tuples(st.sampled_from(["ready", "unready", "kill", "image", "node"]), st.integers(0, 9)), max_size=20
)


@settings(max_examples=40)
@given(nodes=st.integers(1, 6), limit=st.integers(1, 3), surge=st.booleans(), steps=STEPS)
def test_an_update_keeps_its_limits(nodes: int, limit: int, surge: bool, steps: list[tuple[str, int]]) -> None:
    asyncio.run(roll(nodes, limit, surge, steps))


async def roll(nodes: int, limit: int, surge: bool, steps: list[tuple[str, int]]) -> None:
    world = World()
    await add_nodes(world, *(f"n{n}" for n in range(nodes)))
    rolling = {"maxSurge": limit, "maxUnavailable": 0} if surge else {"maxSurge": 0, "maxUnavailable": limit}
    await world.apply(DaemonSet, daemon_set(rolling=rolling))
    broken: list[str] = []

    def ready() -> list[str]:
        return [
            p.metadata.name
            for p in alive(world)
            if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or ())
        ]

    def check(verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if kind is not Pod:
            return
        count = len(world.all(Node))
        before = {node_of(p) for p in alive(world) if p.metadata.name in ready()}
        after = {node_of(p) for p in alive(world) if p.metadata.name in ready() and p.metadata.name != name}
        if verb == "delete" and after != before and len(after) < count - (0 if surge else limit):
            broken.append(f"{name} deleted, {len(after)} of {count} nodes covered")
        # With surge a pod that serves nobody is replaced beyond the limit, so there is no such bound.
        if verb == "create" and not surge and len(alive(world)) + 1 > count:
            broken.append(f"{len(alive(world)) + 1} pods on {count} nodes")

    async with world.running(DaemonSetController()):
        await world.run_pods()
        world.client.intercept = check
        await set_image(world, "agent:2")
        for what, number in steps:
            pods = alive(world)
            if what == "image":
                await set_image(world, f"agent:{number % 3}")
            elif what == "node":
                await add_nodes(world, f"extra{len(world.all(Node))}")
            elif pods and what == "kill":
                await world.client.remove(Pod, pods[number % len(pods)].metadata.name, "default")
            elif pods:
                await world.make_ready([pods[number % len(pods)]], what == "ready")
            await world.settle(1)
        await world.run_pods()
        image = world.all(DaemonSet)[0].spec.template.spec.containers[0].image
        assert on(world) == {n.metadata.name: image for n in sorted(world.all(Node), key=lambda n: n.metadata.name)}
        assert len(alive(world)) == len(world.all(Node))
        assert broken == []


async def test_a_pod_that_succeeded_is_replaced_at_once_however_often(world: World) -> None:
    await add_nodes(world, "a")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        seen = set()
        for _ in range(5):
            await world.run_pods()
            (pod,) = alive(world)
            seen.add(pod.metadata.uid)
            await world.set_status(pod, lambda p: setattr(p.status, "phase", "Succeeded"))
        await world.run_pods()
        assert len(seen | {pod.metadata.uid for pod in alive(world)}) == 6


async def test_a_pod_that_ended_and_only_waits_to_be_forgotten_keeps_no_other_away(world: World) -> None:
    await add_nodes(world, "a")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        (pod,) = alive(world)
        held = types.copy(pod)
        held.metadata.finalizers = ["example.com/hold"]
        await world.client.update(held)
        await world.client.delete(Pod, pod.metadata.name, "default")
        await world.settle(1)
        assert alive(world) == []
        await world.set_status(pod, lambda p: setattr(p.status, "phase", "Failed"))
        await world.settle(1)
        assert len(alive(world)) == 1


async def test_pods_of_nodes_that_are_gone_are_not_misscheduled(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set())
    async with world.running(DaemonSetController()):
        await world.run_pods()
        for pod in alive(world):
            await world.bind(pod, node_of(pod))
        await world.client.delete(Node, "b")
        await world.settle(1)
        s = status(world)
        assert (s.desiredNumberScheduled, s.currentNumberScheduled, s.numberMisscheduled) == (1, 1, 0)


async def test_revisions_that_pods_still_have_count_in_the_history(world: World) -> None:
    await add_nodes(world, "a", "b")
    await world.apply(DaemonSet, daemon_set(strategy={"type": "OnDelete"}))
    async with world.running(DaemonSetController()):
        await world.run_pods()
        await world.client.patch(DaemonSet, "agent", "default", {"spec": {"revisionHistoryLimit": 2}})
        for number in range(2, 6):
            await set_image(world, f"agent:{number}")
        # The pods are of revision 1, which stays; one more of the old ones may.
        assert sorted(r.revision for r in world.all(ControllerRevision)) == [1, 4, 5]
