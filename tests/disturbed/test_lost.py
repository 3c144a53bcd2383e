"""Pods are deleted by hand, gently and by force, and a node dies and comes back: every kind heals in its own way."""

from __future__ import annotations

import pytest

from tests.disturbed.kubectl import Kubectl
from tests.disturbed.workloads import WORKLOADS, is_ready, names, nodes, pods, uids, until

pytestmark = pytest.mark.anyio

NODES = {"node-1", "node-2", "node-3"}


@pytest.mark.parametrize("kind", WORKLOADS)
async def test_a_pod_deleted_by_hand_is_made_again(kubectl: Kubectl, kind: str) -> None:
    workload = WORKLOADS[kind]
    await kubectl("apply", "-f", "-", stdin=workload.manifest())
    before = await workload.has(kubectl)
    gently, by_force, _ = sorted(names(before))
    assert await kubectl("delete", "pod", gently) == f'pod "{gently}" deleted from {kubectl.namespace} namespace\n'
    forced = await kubectl.run("delete", "pod", by_force, "--force", "--grace-period=0")
    assert "Immediate deletion does not wait for confirmation" in forced.err
    assert forced.out == f'pod "{by_force}" force deleted from {kubectl.namespace} namespace\n'
    after = await workload.has(kubectl)
    assert len(uids(after) & uids(before)) == 1
    assert (names(after) == names(before)) == (kind == "statefulset")
    if kind == "daemonset":
        assert nodes(after) == NODES
    events = await kubectl("describe", workload.events_of)
    for name in names(after):
        assert f"create Pod {name} in StatefulSet" in events or f"Created pod: {name}" in events
    if kind == "job":
        status = (await kubectl.json("get", "job", "job"))["status"]
        assert (status["active"], status["ready"], status["failed"]) == (3, 3, 2)


async def test_a_node_dies_and_comes_back(kubectl: Kubectl) -> None:
    for workload in WORKLOADS.values():
        await kubectl("apply", "-f", "-", stdin=workload.manifest())
    before = {kind: await workload.has(kubectl) for kind, workload in WORKLOADS.items()}
    await broken(kubectl, "stop", "node-1")
    await kubectl("wait", "node/node-1", "--for=condition=Ready=Unknown", "--timeout=20s")
    described = await kubectl("describe", "node", "node-1")
    assert "NodeStatusUnknown" in described and "Kubelet stopped posting node status." in described
    assert "node.kubernetes.io/unreachable:NoExecute" in described and "NodeNotReady" in described
    await kubectl.advance(360)
    lost = {kind: names(p for p in found if p["spec"]["nodeName"] == "node-1") for kind, found in before.items()}
    for kind, there in lost.items():
        await left_by(kubectl, kind, there)
    await broken(kubectl, "start", "node-1")
    await kubectl("wait", "node/node-1", "--for=condition=Ready", "--timeout=20s")
    for kind, workload in WORKLOADS.items():
        after = await workload.has(kubectl)
        if kind == "daemonset":
            assert uids(after) == uids(before[kind]), "its pods never left"
    assert (await kubectl.json("get", "job", "job"))["status"]["failed"] == len(lost["job"])


async def test_a_daemon_set_follows_nodes_that_go_for_good_and_come_anew(kubectl: Kubectl) -> None:
    workload = WORKLOADS["daemonset"]
    await kubectl("apply", "-f", "-", stdin=workload.manifest())
    await workload.has(kubectl)
    await broken(kubectl, "stop", "node-2")
    await kubectl("delete", "node", "node-2")
    assert nodes(await workload.has(kubectl, 2)) == {"node-1", "node-3"}
    await broken(kubectl, "start", "node-2")
    assert nodes(await workload.has(kubectl)) == NODES


async def left_by(kubectl: Kubectl, kind: str, lost: set[str]) -> None:
    """What became of the pods on the dead node, and of their workload."""
    assert lost, "it had no pod there"
    described = await kubectl("describe", "pod", *lost)
    assert "NodeNotReady" in described
    if kind == "daemonset":
        assert "Terminating" not in described
        status = (await kubectl.json("get", kind, kind))["status"]
        # It may stay on an unreachable node for ever, but no new one would start there (unreachable:NoSchedule).
        counts = status["desiredNumberScheduled"], status["numberReady"], status["numberMisscheduled"]
        assert counts == (2, 2, 1)
        return
    assert "Terminating" in described and "TaintManagerEviction" in described
    assert "DeletionByTaintManager" in await kubectl("get", "pod", *lost, "-o", "yaml")
    if kind != "statefulset":
        # The others make new ones elsewhere at once; the old ones may yet come back to be stopped.
        found = await until(kubectl, kind, lambda pods: sum(map(is_ready, pods)) == 3 == len(pods) - len(lost))
        assert "node-1" not in nodes(filter(is_ready, found))
        return
    # Two of one identity must never run: it waits for the node, or for somebody who knows that it is dead.
    assert sum(map(is_ready, await pods(kubectl, kind))) == 3 - len(lost)
    await kubectl("delete", "pod", *lost, "--force", "--grace-period=0")
    found = await until(kubectl, kind, lambda pods: sum(map(is_ready, pods)) == 3)
    assert names(found) == {"statefulset-0", "statefulset-1", "statefulset-2"} and "node-1" not in nodes(found)


async def broken(kubectl: Kubectl, action: str, node: str) -> None:
    """As `kybern break` does."""
    await kubectl("create", "--raw", f"/kybern/break?action={action}&node={node}", "-f", "-", stdin="{}")
