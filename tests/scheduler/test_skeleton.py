"""From a pending pod to a binding, and what is said when there is none."""

from __future__ import annotations

import pytest

from kybern.clock import settle
from tests.scheduler.world import Cluster, Running, node, pod

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("nodes", [3, 60])
async def test_pods_are_spread_over_nodes(nodes: int) -> None:
    cluster = Cluster(*(node(f"n{i}") for i in range(nodes)))
    async with Running(cluster.scheduler()):
        cluster.put(*(pod(f"p{i}", cpu="1") for i in range(nodes)))
        await settle()
    assert len({n for _, n in cluster.bindings}) == nodes
    text = f"Successfully assigned default/p0 to {cluster.pod('p0').spec.nodeName}"
    assert ("Normal", "Scheduled", "p0", text) in cluster.events.seen


@pytest.mark.parametrize("more", [0, 40])
async def test_the_event_counts_reasons_over_nodes(more: int) -> None:
    cluster = Cluster(
        node("full", cpu="1"),
        node("tainted", taints=[("a", "b", "NoSchedule")]),
        node("cordoned", unschedulable=True),
        *(node(f"n{i}", cpu="1") for i in range(more)),
    )
    async with Running(cluster.scheduler()):
        cluster.put(pod("p", cpu="2"))
        await settle()
    reasons = [f"{1 + more} Insufficient cpu", "1 node(s) had untolerated taint(s)", "1 node(s) were unschedulable"]
    message = (
        f"0/{3 + more} nodes are available: {', '.join(sorted(reasons))}. "
        "no new claims to deallocate, "
        f"preemption: 0/{3 + more} nodes are available: {3 + more} Preemption is not helpful for scheduling."
    )
    assert cluster.messages() == [message]
    condition = cluster.pod("p").status.conditions[0]
    assert (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "Unschedulable")
    assert condition.message == message
