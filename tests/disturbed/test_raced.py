"""Two kubectl write to the same object while its controller works: nothing is lost, no limit is broken, and who was
too late is told so. (Two copies of a controller at once: test_killed.)"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.disturbed.kubectl import Done, Kubectl
from tests.disturbed.workloads import WORKLOADS, Watched, images

pytestmark = pytest.mark.anyio

TURNS = 6


@pytest.mark.parametrize("kind", WORKLOADS)
async def test_two_people_and_a_controller_write_and_all_of_it_stays(kubectl: Kubectl, kind: str) -> None:
    """One scales, one annotates and changes the image: of each the last word holds, and the counts at all times."""
    workload, watched = WORKLOADS[kind], Watched(kubectl, kind)
    await kubectl("apply", "-f", "-", stdin=workload.manifest())

    async def resize() -> None:
        for turn in range(TURNS if workload.count else 0):
            await kubectl("patch", kind, kind, "-p", json.dumps({"spec": {workload.count: turn % 3 + 1}}))
            await kubectl.advance(2)

    async def change() -> None:
        for turn in range(TURNS):
            await kubectl("annotate", kind, kind, f"turn-{turn}=yes", f"last={turn}", "--overwrite")
            if kind != "job":
                await kubectl("set", "image", f"{kind}/{kind}", f"c=nginx:{turn + 2}")

    await asyncio.gather(resize(), change())
    last = f"nginx:{TURNS + 1}"
    if kind in ("replicaset", "replicationcontroller"):
        await kubectl("delete", "pods", "-l", f"app={kind}")
    if kind in ("deployment", "statefulset", "daemonset"):
        await kubectl("rollout", "status", f"{kind}/{kind}", "--timeout=20s")
    assert images(await workload.has(kubectl)) == ({"nginx:1"} if kind == "job" else {last})
    annotations = (await kubectl.json("get", kind, kind))["metadata"]["annotations"]
    assert annotations["last"] == str(TURNS - 1) and {f"turn-{turn}" for turn in range(TURNS)} <= set(annotations)
    assert watched.most <= (4 if kind == "deployment" else 3)


async def test_who_comes_too_late_is_told_so(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=WORKLOADS["deployment"].manifest(1))
    await WORKLOADS["deployment"].has(kubectl, 1)
    read = await kubectl.json("get", "deployment", "deployment")
    versions = [json.dumps(read | {"spec": read["spec"] | {"replicas": count}}) for count in (2, 3)]
    ends = await asyncio.gather(*(kubectl.run("replace", "-f", "-", stdin=text) for text in versions))
    assert sorted(end.code for end in ends) == [0, 1]
    assert max(ends, key=code_of).err == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on deployments.apps '
        '"deployment": the object has been modified; please apply your changes to the latest version and try again\n'
    )
    kept = versions[[end.code for end in ends].index(0)]
    scale = json.loads(kept)["spec"]["replicas"]
    assert (await kubectl.json("get", "deployment", "deployment"))["spec"]["replicas"] == scale
    stale = json.dumps({"metadata": {"resourceVersion": read["metadata"]["resourceVersion"]}})
    assert "the object has been modified" in await kubectl.fails("patch", "deployment", "deployment", "-p", stale)
    wrong = await kubectl.fails("scale", "deployment/deployment", "--replicas=5", "--current-replicas=9")
    assert f"Expected replicas to be 9, was {scale}" in wrong
    again = await kubectl.fails("create", "-f", "-", stdin=WORKLOADS["deployment"].manifest(1))
    assert 'Error from server (AlreadyExists): error when creating "STDIN"' in again


def code_of(done: Done) -> int:
    return done.code


async def test_two_appliers_own_what_they_set(kubectl: Kubectl) -> None:
    """Server-side apply: the second manager is refused what the first owns, unless it insists."""
    mine, yours = (WORKLOADS["deployment"].manifest(count) for count in (1, 2))
    as_manager = ("apply", "--server-side", "-f", "-", "--field-manager")
    await kubectl(*as_manager, "mine", stdin=mine)
    refused = await kubectl.fails(*as_manager, "yours", stdin=yours)
    assert 'Apply failed with 1 conflict: conflict with "mine": .spec.replicas' in refused
    await kubectl(*as_manager, "yours", "--force-conflicts", stdin=yours)
    await WORKLOADS["deployment"].has(kubectl, 2)
    assert 'conflict with "yours": .spec.replicas' in await kubectl.fails(*as_manager, "mine", stdin=mine)


async def test_two_drains_at_once_leave_what_the_budget_keeps(kubectl: Kubectl) -> None:
    manifest = WORKLOADS["deployment"].manifest(4, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    manifest = manifest.replace("DoNotSchedule", "ScheduleAnyway")
    watched = Watched(kubectl, "deployment")
    await kubectl("apply", "-f", "-", stdin=manifest)
    await WORKLOADS["deployment"].has(kubectl, 4)
    await kubectl("create", "pdb", "keep", "--selector=app=deployment", "--min-available=3")
    await kubectl("wait", "pdb/keep", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=20s")
    watched.from_now()
    try:
        drain = ("--ignore-daemonsets", "--pod-selector=app=deployment", "--timeout=20s")
        ends = await asyncio.gather(*(kubectl.run("drain", node, *drain) for node in ("node-1", "node-2")))
        assert [end.code for end in ends] == [0, 0], ends
        told = "".join(end.out + end.err for end in ends)
        assert "error when evicting pods" in told and "violate the pod's disruption budget" in told
        assert "node/node-1 drained" in told and "node/node-2 drained" in told
        found = await WORKLOADS["deployment"].has(kubectl, 4)
        assert {pod["spec"]["nodeName"] for pod in found} == {"node-3"}
        assert watched.least == 3
    finally:
        await kubectl("uncordon", "node-1", "node-2")


async def test_two_creators_share_a_quota_to_the_last_object(kubectl: Kubectl) -> None:
    await kubectl("create", "quota", "q", "--hard=count/secrets=6")
    await kubectl("wait", "quota/q", "--for=jsonpath={.status.used.count/secrets}=0", "--timeout=20s")

    def secrets(who: str) -> str:
        items = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{who}-{i}"}} for i in range(6)]
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    ends = await asyncio.gather(*(kubectl.run("create", "-f", "-", stdin=secrets(who)) for who in "ab"))
    refused = "".join(end.err for end in ends)
    assert refused.count("exceeded quota: q, requested: count/secrets=1, used: count/secrets=6, limited:") == 6
    assert (await kubectl("get", "secrets", "-o", "name")).count("secret/") == 6
    await kubectl.advance(30)
    assert "count/secrets  6     6" in await kubectl("describe", "quota", "q")


async def test_two_claims_want_one_volume(kubectl: Kubectl) -> None:
    volume: dict[str, Any] = {"apiVersion": "v1", "kind": "PersistentVolume"}
    volume["metadata"] = {"name": kubectl.namespace}
    common = {"storageClassName": "by-hand", "accessModes": ["ReadWriteOnce"]}
    volume["spec"] = {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}}
    claims = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {**common, "resources": {"requests": {"storage": "1Gi"}}},
        }
        for name in "ab"
    ]
    await asyncio.gather(*(kubectl("apply", "-f", "-", stdin=json.dumps(item)) for item in (*claims, volume)))
    await kubectl("wait", f"pv/{kubectl.namespace}", "--for=jsonpath={.status.phase}=Bound", "--timeout=20s")
    await kubectl.advance(60)
    phases = await kubectl("get", "pvc", "-o", "jsonpath={.items[*].status.phase}")
    assert sorted(phases.split()) == ["Bound", "Pending"]
    bound = await kubectl("get", "pvc", "--no-headers")
    winner = next(line.split()[0] for line in bound.splitlines() if "Bound" in line)
    claim = (await kubectl.json("get", "pv", kubectl.namespace))["spec"]["claimRef"]["name"]
    assert claim == winner
    await kubectl("delete", "pvc", winner)
    await kubectl("patch", "pv", kubectl.namespace, "-p", '{"spec":{"claimRef":null}}')
    loser = "b" if winner == "a" else "a"
    await kubectl("wait", f"pvc/{loser}", "--for=jsonpath={.status.phase}=Bound", "--timeout=20s")
    await kubectl("delete", "pvc", loser)
    await kubectl("delete", "pv", kubectl.namespace)


async def test_an_autoscaler_and_a_person_disagree(kubectl: Kubectl) -> None:
    """Somebody scales past its maximum and its minimum: it comes back each time, and goes no further."""
    data = json.loads(WORKLOADS["deployment"].manifest(2))
    template = data["spec"]["template"]
    template["metadata"]["annotations"] = {"fake.kybern.dev/cpu": "50m"}
    template["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    await kubectl("apply", "-f", "-", stdin=json.dumps(data))
    await WORKLOADS["deployment"].has(kubectl, 2)
    await kubectl("autoscale", "deployment", "deployment", "--min=2", "--max=4", "--cpu=50%")
    # The recommendation of four counts for five minutes, so the two do not last.
    for wrong in (6, 1):
        await kubectl("scale", "deployment/deployment", f"--replicas={wrong}")
        await kubectl.advance(60)
        await WORKLOADS["deployment"].has(kubectl, 4)
    events = await kubectl("describe", "hpa")
    assert "New size: 4; reason: Current number of replicas above Spec.MaxReplicas" in events
    assert "New size: 2; reason: Current number of replicas below Spec.MinReplicas" in events


async def test_nothing_new_in_a_namespace_that_goes(kubectl: Kubectl) -> None:
    space = kubectl.namespace + "-gone"
    await kubectl("create", "namespace", space)
    there = kubectl.within(space)
    held = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    await there("apply", "-f", "-", stdin=json.dumps(held))
    await there("apply", "-f", "-", stdin=WORKLOADS["statefulset"].manifest())
    await WORKLOADS["statefulset"].has(there)
    await there("delete", "namespace", space, "--wait=false")
    await kubectl.advance(60)
    refused = await there.fails("create", "configmap", "late")
    assert f"forbidden: unable to create new content in namespace {space} because it is being terminated" in refused
    described = await kubectl("describe", "namespace", space)
    assert (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances" in described
    )
    assert "No resources found" in (await there.run("get", "all")).err
    await there("patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await kubectl("wait", f"namespace/{space}", "--for=delete", "--timeout=20s")
