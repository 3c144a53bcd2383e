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


async def test_a_cron_job_makes_up_for_nothing_that_its_quota_refused(kubectl: Kubectl) -> None:
    await kubectl("create", "quota", "q", "--hard=count/jobs.batch=1")
    await kubectl("wait", "quota/q", r"--for=jsonpath={.status.used.count/jobs\.batch}=0", "--timeout=20s")
    await kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=*/5 * * * *", "--", "true")
    await kubectl.advance(660)
    assert len((await kubectl("get", "jobs", "-o", "name")).split()) == 1
    described = await kubectl("describe", "cronjob", "tick")
    assert "FailedCreate" in described and "Error creating job: jobs.batch" in described
    assert "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1" in described
    await kubectl("patch", "quota", "q", "--type=merge", "-p", '{"spec":{"hard":{"count/jobs.batch":"3"}}}')
    await kubectl.advance(300)
    assert 2 <= len((await kubectl("get", "jobs", "-o", "name")).split()) <= 3


async def test_a_stateful_set_waits_for_room_for_its_claims(kubectl: Kubectl) -> None:
    workload = WORKLOADS["statefulset"]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": claim}]
    await kubectl("create", "quota", "q", "--hard=requests.storage=2Gi")
    await kubectl("wait", "quota/q", r"--for=jsonpath={.status.used.requests\.storage}=0", "--timeout=20s")
    await kubectl("apply", "-f", "-", stdin=workload.manifest(volumeClaimTemplates=claims))
    there = await until(kubectl, "statefulset", lambda pods: sum(map(is_ready, pods)) == 2)
    await kubectl.advance(120)
    assert names(there) == {"statefulset-0", "statefulset-1"} == names(await pods(kubectl, "statefulset"))
    described = await kubectl("describe", "statefulset")
    assert "create Claim data-statefulset-2 for Pod statefulset-2 in StatefulSet statefulset failed error:" in described
    assert "requested: requests.storage=1Gi, used: requests.storage=2Gi, limited: requests.storage=2Gi" in described
    await kubectl("patch", "quota", "q", "--type=merge", "-p", '{"spec":{"hard":{"requests.storage":"3Gi"}}}')
    await workload.has(kubectl)
