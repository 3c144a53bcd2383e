"""The quota runs out in the middle of it and is raised: every kind says so, waits, and goes on."""

from __future__ import annotations

import pytest

from tests.disturbed.kubectl import Kubectl
from tests.disturbed.workloads import WORKLOADS, is_ready, names, pods, until

pytestmark = pytest.mark.anyio

CONDITION = 'jsonpath={.items[0].status.conditions[?(@.type=="ReplicaFailure")].reason}'
TELLING = {
    "deployment": ["deployment", "replicaset"],
    "replicaset": ["replicaset"],
    "replicationcontroller": ["replicationcontroller"],
}
"""Who says it by a condition."""


@pytest.mark.parametrize("kind", WORKLOADS)
async def test_a_quota_that_runs_out_only_delays(kubectl: Kubectl, kind: str) -> None:
    workload = WORKLOADS[kind]
    await kubectl("create", "quota", "q", "--hard=pods=2")
    await kubectl("wait", "quota/q", "--for=jsonpath={.status.used.pods}=0", "--timeout=20s")
    await kubectl("apply", "-f", "-", stdin=workload.manifest())
    there = await until(kubectl, kind, lambda pods: sum(map(is_ready, pods)) == 2)
    await kubectl.advance(120)
    assert names(await pods(kubectl, kind)) == names(there)
    refusal = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    assert refusal in await kubectl("describe", workload.events_of)
    events = await kubectl("get", "events", "--field-selector=reason=FailedCreate,type=Warning")
    assert f"{workload.events_of}/" in events
    assert "pods        2     2" in await kubectl("describe", "quota", "q")
    for told in TELLING.get(kind, ()):
        await kubectl.eventually("get", told, "-o", CONDITION, becomes="FailedCreate")
    await kubectl("patch", "quota", "q", "--type=merge", "-p", '{"spec":{"hard":{"pods":"3"}}}')
    await workload.has(kubectl)
    for told in TELLING.get(kind, ()):
        await kubectl.eventually("get", told, "-o", CONDITION, becomes="")
