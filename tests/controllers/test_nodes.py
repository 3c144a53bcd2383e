"""Node health, taints, evictions, pod ranges and pods left behind."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.coordination import Lease
from kybern.api.core import Node, NodeCondition, Pod
from kybern.api.time import format_micro_time, format_time
from kybern.config import ConfigError
from kybern.testing.world import World
from kybern_controllers_cluster.nodeipam import Blocks, Exhausted, NodeIPAMController
from kybern_controllers_cluster.nodelifecycle import NodeLifecycleController
from kybern_controllers_cluster.podgc import PodGCController
from kybern_controllers_cluster.tainteviction import TaintEvictionController, seconds_tolerated
from tests.controllers.objects import least

pytestmark = pytest.mark.anyio


class Kubelets:
    """Nodes and their signs of life."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def add(self, *names: str) -> None:
        for name in names:
            await self.world.client.create(types.from_plain(Node, {"metadata": {"name": name}}))
            await self.report(name)
            lease = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"holderIdentity": name}}
            await self.world.client.create(types.from_plain(Lease, lease))

    async def report(self, name: str, ready: str = "True") -> None:
        node = await self.world.client.get(Node, name)
        now = format_time(self.world.clock.now())

        def change(node: Any) -> None:
            kinds = {"Ready": ready, "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
            node.status.conditions = [
                NodeCondition(type=t, status=s, lastHeartbeatTime=now, lastTransitionTime=now) for t, s in kinds.items()
            ]

        await self.world.set_status(node, change)

    async def live(self, seconds: int, *alive: str) -> None:
        """Let time pass while the kubelets of `alive` renew their leases."""
        for _ in range(0, seconds, 10):
            for name in alive:
                lease = types.copy(await self.world.client.get(Lease, name, "kube-node-lease"))
                lease.spec.renewTime = format_micro_time(self.world.clock.now())
                await self.world.client.update(lease)
            await self.world.settle(10)


@pytest.fixture
def kubelets(world: World) -> Kubelets:
    return Kubelets(world)


def taints(world: World, name: str) -> set[str]:
    node = next(n for n in world.all(Node) if n.metadata.name == name)
    return {f"{t.key.rpartition('/')[2]}:{t.effect}" for t in node.spec.taints or ()}


def ready(world: World, name: str) -> str:
    node = next(n for n in world.all(Node) if n.metadata.name == name)
    return next(c.status for c in node.status.conditions if c.type == "Ready")


async def bind(world: World, name: str, node: str, *tolerations: dict[str, Any]) -> Any:
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "tolerations": list(tolerations)}
    return await world.apply(Pod, {"metadata": {"name": name}, "spec": spec})


FOR_300 = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]


async def test_a_silent_node_becomes_unknown_and_tainted_and_comes_back(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b", "c")
    async with world.running(NodeLifecycleController()):
        await kubelets.live(40, "a", "b", "c")
        await kubelets.live(30, "a", "b")
        assert ready(world, "c") == "True"
        await kubelets.live(20, "a", "b")
        assert ready(world, "c") == "Unknown"
        assert (ready(world, "a"), taints(world, "a")) == ("True", set())
        assert taints(world, "c") == {"unreachable:NoSchedule", "unreachable:NoExecute"}
        assert "Normal NodeNotReady Node c status is now: NodeNotReady" in world.events()
        await kubelets.report("c")
        await world.settle(1)
        assert taints(world, "c") == set()


async def test_its_pods_are_not_ready_while_it_is_silent(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b")
    await bind(world, "p", "b")
    await world.make_ready()
    async with world.running(NodeLifecycleController()):
        await kubelets.live(70, "a")
        pod = world.all(Pod)[0]
        assert [c.status for c in pod.status.conditions if c.type == "Ready"] == ["False"]


async def test_when_all_nodes_fall_silent_nothing_is_evicted(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b")
    async with world.running(NodeLifecycleController()):
        await world.settle(120)
        assert ready(world, "a") == ready(world, "b") == "Unknown"
        assert taints(world, "a") == taints(world, "b") == {"unreachable:NoSchedule"}
        await kubelets.report("a")
        await world.settle(1)
        assert taints(world, "b") == {"unreachable:NoSchedule", "unreachable:NoExecute"}


async def test_nodes_are_given_up_one_by_one(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b", "c", "d", "e", "f")
    async with world.running(NodeLifecycleController()):
        for name in ("a", "b"):
            await kubelets.report(name, "False")
        await world.settle(1)
        given_up = [n for n in ("a", "b") if "not-ready:NoExecute" in taints(world, n)]
        assert len(given_up) == 1
        await world.settle(10)
        assert all("not-ready:NoExecute" in taints(world, n) for n in ("a", "b"))


async def test_a_cordoned_node_and_one_under_pressure_are_tainted(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b")
    async with world.running(NodeLifecycleController()):
        await world.client.patch(Node, "a", "", {"spec": {"unschedulable": True}})
        await world.set_status(world.all(Node)[1], lambda node: setattr(node.status.conditions[1], "status", "True"))
        await world.settle(1)
        assert taints(world, "a") == {"unschedulable:NoSchedule"}
        assert taints(world, "b") == {"memory-pressure:NoSchedule"}
        await world.client.patch(Node, "a", "", {"spec": {"unschedulable": None}})
        await world.settle(1)
        assert taints(world, "a") == set()


async def test_foreign_taints_stay(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b")
    own = [{"key": "team", "value": "x", "effect": "NoSchedule"}]
    await world.client.patch(Node, "a", "", {"spec": {"taints": own}})
    async with world.running(NodeLifecycleController()):
        await kubelets.report("a", "False")
        await world.settle(1)
        await kubelets.report("a", "True")
        await world.settle(1)
        assert taints(world, "a") == {"team:NoSchedule"}


async def test_pods_leave_a_tainted_node_when_their_time_is_over(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    await bind(world, "default-pod", "a", *FOR_300)
    await bind(world, "staying", "a", {"operator": "Exists"})
    await bind(world, "leaving", "a")
    async with world.running(TaintEvictionController()):
        now = format_time(world.clock.now())
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": now}
        await world.client.patch(Node, "a", "", {"spec": {"taints": [taint]}})
        await world.settle(1)
        deleted = {p.metadata.name for p in world.all(Pod) if p.metadata.deletionTimestamp}
        assert deleted == {"leaving"}
        await world.settle(290)
        assert {p.metadata.name for p in world.all(Pod) if p.metadata.deletionTimestamp} == {"leaving"}
        await world.settle(10)
        deleted = {p.metadata.name for p in world.all(Pod) if p.metadata.deletionTimestamp}
        assert deleted == {"leaving", "default-pod"}
        assert "Normal TaintManagerEviction Marking for deletion Pod default/default-pod" in world.events()
        pod = next(p for p in world.all(Pod) if p.metadata.name == "default-pod")
        condition = next(c for c in pod.status.conditions if c.type == "DisruptionTarget")
        assert condition.reason == "DeletionByTaintManager"


async def test_a_taint_that_goes_in_time_spares_the_pods(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    await bind(world, "p", "a", *FOR_300)
    async with world.running(TaintEvictionController()):
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        await world.client.patch(Node, "a", "", {"spec": {"taints": [taint]}})
        await world.settle(200)
        await world.client.patch(Node, "a", "", {"spec": {"taints": None}})
        await world.settle(400)
        assert not world.all(Pod)[0].metadata.deletionTimestamp
        assert "Normal TaintManagerEviction Cancelling deletion of Pod default/p" in world.events()


async def test_a_restart_does_not_start_the_term_again(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    await bind(world, "p", "a", *FOR_300)
    now = format_time(world.clock.now())
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": now}
    await world.client.patch(Node, "a", "", {"spec": {"taints": [taint]}})
    async with world.running(TaintEvictionController()):
        await world.settle(200)
    async with world.running(TaintEvictionController()):
        await world.settle(101)
        assert world.all(Pod)[0].metadata.deletionTimestamp


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([{"operator": "Exists"}], float("inf")),
        ([{"key": "k", "value": "v", "effect": "NoExecute"}], float("inf")),
        ([{"key": "k", "value": "other", "effect": "NoExecute"}], 0),
        ([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}], 0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 5}, {"operator": "Exists"}], 5),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": -5}], 0),
        ([{"operator": "Exists"}, {"key": "k", "operator": "Exists", "tolerationSeconds": 5}], float("inf")),
    ],
)
def test_how_long_a_pod_bears_a_taint(tolerations: list[dict[str, Any]], seconds: float) -> None:
    from kybern.api.core import Taint, Toleration

    given = [types.from_plain(Toleration, t) for t in tolerations]
    assert seconds_tolerated(given, [Taint(key="k", value="v", effect="NoExecute")]) == seconds


async def test_every_node_gets_its_own_range(world: World, kubelets: Kubelets) -> None:
    await world.client.create(
        types.from_plain(Node, {"metadata": {"name": "old"}, "spec": {"podCIDR": "10.244.1.0/24"}})
    )
    await kubelets.add("a", "b")
    async with world.running(NodeIPAMController()):
        await world.settle(1)
        found = {n.metadata.name: n.spec.podCIDR for n in world.all(Node)}
        assert found == {"old": "10.244.1.0/24", "a": "10.244.0.0/24", "b": "10.244.2.0/24"}
        assert all(n.spec.podCIDRs == [n.spec.podCIDR] for n in world.all(Node) if n.metadata.name != "old")


async def test_when_the_range_is_full_it_is_told_and_tried_again(world: World, kubelets: Kubelets) -> None:
    async with world.running(NodeIPAMController(("10.0.0.0/24",), 25)):
        await kubelets.add("a", "b", "c")
        await world.settle(1)
        assert sorted(n.spec.podCIDR or "" for n in world.all(Node)) == ["", "10.0.0.0/25", "10.0.0.128/25"]
        assert any("CIDRNotAvailable" in event for event in world.events())
        await world.client.delete(Node, "a")
        await world.settle(600)
        assert all(n.spec.podCIDR for n in world.all(Node))


def test_blocks_are_handed_out_in_turn() -> None:
    blocks = Blocks("10.0.0.0/22", 24)
    assert [blocks.take(n) for n in "ab"] == ["10.0.0.0/24", "10.0.1.0/24"]
    blocks.release("10.0.0.0/24", "a")
    assert blocks.take("c") == "10.0.2.0/24"
    assert [blocks.take(n) for n in "de"] == ["10.0.3.0/24", "10.0.0.0/24"]
    with pytest.raises(Exhausted):
        blocks.take("f")
    assert Blocks("fd00::/48", 64).take("a") == "fd00::/64"


@pytest.mark.parametrize(("cidr", "mask"), [("10.0.0.0/25", 24), ("10.0.0.1/16", 24), ("nonsense", 24)])
def test_a_range_that_cannot_be_cut_is_refused(cidr: str, mask: int) -> None:
    with pytest.raises(ConfigError, match=r"network\.pod_cidr"):
        Blocks(cidr, mask)


async def test_pods_of_a_node_that_is_gone_go_too_after_a_while(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b")
    await bind(world, "lost", "a")
    await bind(world, "fine", "b")
    async with world.running(PodGCController()):
        await world.client.delete(Node, "a")
        await world.settle(30)
        assert len(world.all(Pod)) == 2
        await world.settle(15)
        assert [p.metadata.name for p in world.all(Pod)] == ["fine"]


async def test_a_node_that_comes_back_in_time_keeps_its_pods(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    await bind(world, "p", "a")
    async with world.running(PodGCController()):
        await world.client.delete(Node, "a")
        await world.settle(20)
        await world.client.create(types.from_plain(Node, {"metadata": {"name": "a"}}))
        await world.settle(60)
        assert len(world.all(Pod)) == 1


async def test_only_so_many_finished_pods_are_kept_the_youngest(world: World) -> None:
    async with world.running(PodGCController(threshold=2)):
        for name in "abcd":
            pod = await bind(world, name, "n")
            await world.set_status(pod, lambda p: setattr(p.status, "phase", "Succeeded"))
            await world.settle(1)
        assert sorted(p.metadata.name for p in world.all(Pod)) == ["c", "d"]


async def test_a_deleted_pod_without_node_is_ended(world: World) -> None:
    await world.apply(Pod, least(Pod, "p", finalizers=["x/y"]))
    async with world.running(PodGCController()):
        await world.client.delete(Pod, "p", "default")
        await world.settle(1)
        assert world.all(Pod)[0].status.phase == "Failed"


async def test_a_node_is_told_of_when_it_comes_and_goes(world: World, kubelets: Kubelets) -> None:
    async with world.running(NodeLifecycleController()):
        await kubelets.add("a")
        await world.settle(1)
        await world.client.delete(Node, "a")
        await world.settle(1)
    assert "Normal RegisteredNode Node a event: Registered Node a in Controller" in world.events()
    assert "Normal RemovingNode Node a event: Removing Node a from Controller" in world.events()


async def test_labels_are_kept_under_their_elder_names_too(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    async with world.running(NodeLifecycleController()):
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "amd64"}
        await world.client.patch(Node, "a", "", {"metadata": {"labels": labels}})
        await world.settle(1)
        (node,) = world.all(Node)
        assert node.metadata.labels["beta.kubernetes.io/os"] == "linux"
        assert node.metadata.labels["beta.kubernetes.io/arch"] == "arm64"


async def test_a_node_that_does_not_count_does_not_make_a_zone_healthy(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "extra")
    await world.client.patch(Node, "extra", "", {"metadata": {"labels": {"node.kubernetes.io/exclude-disruption": ""}}})
    async with world.running(NodeLifecycleController()):
        await kubelets.live(120, "extra")
        assert ready(world, "a") == "Unknown"
        assert taints(world, "a") == {"unreachable:NoSchedule"}


async def test_a_kubelet_that_is_not_ready_speaks_for_its_pods_itself(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a", "b")
    await world.make_ready([await bind(world, "p", "a")])
    async with world.running(NodeLifecycleController()):
        await kubelets.report("a", "False")
        await world.settle(5)
        assert next(c.status for c in world.all(Pod)[0].status.conditions if c.type == "Ready") == "True"


async def test_finished_pods_leave_a_tainted_node_too(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    pod = await bind(world, "done", "a")
    await world.set_status(pod, lambda p: setattr(p.status, "phase", "Succeeded"))
    async with world.running(TaintEvictionController()):
        await world.client.patch(Node, "a", "", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}})
        await world.settle(1)
        assert not [p for p in world.all(Pod) if not p.metadata.deletionTimestamp]


async def test_that_a_pod_went_by_itself_before_its_time_is_told(world: World, kubelets: Kubelets) -> None:
    await kubelets.add("a")
    await bind(world, "p", "a", *FOR_300)
    async with world.running(TaintEvictionController()):
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        await world.client.patch(Node, "a", "", {"spec": {"taints": [taint]}})
        await world.settle(10)
        await world.client.remove(Pod, "p", "default")
        await world.settle(1)
        assert world.events() == ["Normal TaintManagerEviction Cancelling deletion of Pod default/p"]


async def test_pods_that_were_evicted_are_removed_before_elder_ones(world: World) -> None:
    async with world.running(PodGCController(threshold=2)):
        for name, reason in (("old", None), ("evicted", "Evicted"), ("new", None)):
            pod = await bind(world, name, "n")

            def end(p: Any, reason: str | None = reason) -> None:
                p.status.phase, p.status.reason = "Failed", reason

            await world.set_status(pod, end)
            await world.settle(1)
        assert sorted(p.metadata.name for p in world.all(Pod)) == ["new", "old"]


async def test_a_node_out_of_service_loses_its_ending_pods_when_it_is_not_ready(
    world: World, kubelets: Kubelets
) -> None:
    await kubelets.add("a")
    await bind(world, "p", "a")
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    await world.client.patch(Node, "a", "", {"spec": {"taints": [taint]}})
    await world.client.delete(Pod, "p", "default")
    async with world.running(PodGCController()):
        await world.settle(60)
        assert len(world.all(Pod)) == 1
        await kubelets.report("a", "Unknown")
        await world.settle(1)
        assert world.all(Pod) == []
