"""The spec changes in the middle of a rollout, again and again, and never are there too many pods or too few."""

from __future__ import annotations

import json

import pytest

from tests.disturbed.kubectl import Kubectl
from tests.disturbed.workloads import WORKLOADS, Watched, image_of, images, is_ready, names, pods, until

pytestmark = pytest.mark.anyio

ROLLING = ("deployment", "statefulset", "daemonset")


async def begin(kubectl: Kubectl, kind: str, **spec: object) -> Watched:
    """Three pods of nginx:1, which take ten seconds to become available."""
    watched = Watched(kubectl, kind)
    await kubectl("apply", "-f", "-", stdin=WORKLOADS[kind].manifest(minReadySeconds=10, **spec))
    await kubectl("rollout", "status", f"{kind}/{kind}", "--timeout=20s")
    watched.from_now()
    return watched


async def set_image(kubectl: Kubectl, kind: str, image: str) -> None:
    await kubectl("set", "image", f"{kind}/{kind}", f"c={image}")


async def patch(kubectl: Kubectl, kind: str, spec: object) -> None:
    await kubectl("patch", kind, kind, "-p", json.dumps({"spec": spec}))


async def mixed(kubectl: Kubectl, kind: str, *wanted: str) -> None:
    """Let time pass until pods of all these images serve."""
    await until(kubectl, kind, lambda pods: set(wanted) <= images(filter(is_ready, pods)))


async def rolled_out(kubectl: Kubectl, kind: str, image: str, count: int = 3) -> None:
    told = await kubectl("rollout", "status", f"{kind}/{kind}", "--timeout=20s")
    assert (
        told.splitlines()[-1]
        == {
            "deployment": 'deployment "deployment" successfully rolled out',
            "statefulset": f"partitioned roll out complete: {count} new pods have been updated...",
            "daemonset": 'daemon set "daemonset" successfully rolled out',
        }[kind]
    )
    assert images(await WORKLOADS[kind].has(kubectl, count)) == {image}


@pytest.mark.parametrize("kind", ROLLING)
async def test_another_image_before_the_last_one_is_everywhere(kubectl: Kubectl, kind: str) -> None:
    """Two more images in mid-rollout, and back: the limits hold all the time."""
    watched = await begin(kubectl, kind)
    await set_image(kubectl, kind, "nginx:2")
    await mixed(kubectl, kind, "nginx:1", "nginx:2")
    await set_image(kubectl, kind, "nginx:3")
    await mixed(kubectl, kind, "nginx:3")
    await kubectl("rollout", "undo", f"{kind}/{kind}")
    await rolled_out(kubectl, kind, "nginx:2")
    # A Deployment of three may have one more and, rounded down, none less; the others one less and none more.
    assert (watched.most, watched.least) == ((4, 3) if kind == "deployment" else (3, 2))
    revisions = await kubectl("rollout", "history", f"{kind}/{kind}")
    assert [line.split()[0] for line in revisions.splitlines()[2:] if line] == ["1", "3", "4"]


async def test_a_deployment_is_scaled_loosened_and_paused_in_mid_rollout(kubectl: Kubectl) -> None:
    kind = "deployment"
    watched = await begin(kubectl, kind)
    await set_image(kubectl, kind, "nginx:2")
    await mixed(kubectl, kind, "nginx:1", "nginx:2")
    await kubectl("rollout", "pause", "deployment/deployment")
    before = names(await pods(kubectl, kind))
    await set_image(kubectl, kind, "nginx:3")
    await kubectl.advance(120)
    assert names(await pods(kubectl, kind)) == before
    assert "DeploymentPaused" in await kubectl("describe", kind)
    assert "cannot undo" not in await kubectl("rollout", "history", "deployment/deployment")
    assert "paused" in await kubectl.fails("rollout", "undo", "deployment/deployment")
    await kubectl("scale", "deployment/deployment", "--replicas=6")
    await until(kubectl, kind, lambda pods: len(pods) == 8 and all(map(is_ready, pods)))
    shares = sorted(map(image_of, await pods(kubectl, kind)))
    assert shares == ["nginx:1"] * 6 + ["nginx:2"] * 2, "paused, it scales both in proportion"
    assert watched.most == 8
    await kubectl("rollout", "resume", "deployment/deployment")
    await mixed(kubectl, kind, "nginx:3")
    await patch(kubectl, kind, {"strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}}})
    await rolled_out(kubectl, kind, "nginx:3", 6)
    assert watched.most <= 9 and watched.least >= 3
    refused = await kubectl.fails("patch", kind, kind, "-p", '{"spec":{"selector":{"matchLabels":{"app":"b"}}}}')
    assert 'The Deployment "deployment" is invalid' in refused and "field is immutable" in refused


async def test_a_stateful_set_is_scaled_and_parted_in_mid_rollout(kubectl: Kubectl) -> None:
    kind = "statefulset"
    watched = await begin(kubectl, kind)
    await set_image(kubectl, kind, "nginx:2")
    await mixed(kubectl, kind, "nginx:1", "nginx:2")
    await patch(kubectl, kind, {"updateStrategy": {"rollingUpdate": {"partition": 1}}})
    told = await kubectl("rollout", "status", "statefulset/statefulset", "--timeout=20s")
    assert "partitioned roll out complete: 2 new pods have been updated..." in told
    await kubectl.advance(60)
    assert [image_of(p)[-1] for p in await pods(kubectl, kind)] == ["1", "2", "2"]
    await set_image(kubectl, kind, "nginx:3")
    await kubectl("scale", "statefulset/statefulset", "--replicas=4")
    await patch(kubectl, kind, {"updateStrategy": {"rollingUpdate": {"partition": 0}}})
    await rolled_out(kubectl, kind, "nginx:3", 4)
    assert watched.most == 4 and watched.least == 2
    refused = await kubectl.fails("patch", kind, kind, "-p", '{"spec":{"serviceName":"other"}}')
    assert "spec: Forbidden: updates to statefulset spec for fields other than 'replicas'" in refused


async def test_a_daemon_set_surges_and_waits_in_mid_rollout(kubectl: Kubectl) -> None:
    kind = "daemonset"
    watched = await begin(kubectl, kind)
    await set_image(kubectl, kind, "nginx:2")
    await mixed(kubectl, kind, "nginx:1", "nginx:2")
    await patch(kubectl, kind, {"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}})
    await rolled_out(kubectl, kind, "nginx:2")
    assert watched.most <= 4 and watched.least == 2
    watched.from_now()
    await set_image(kubectl, kind, "nginx:3")
    await until(kubectl, kind, lambda pods: sum(image_of(p) == "nginx:2" for p in pods) == 2)
    await patch(kubectl, kind, {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}})
    await kubectl.advance(60)
    assert images(await pods(kubectl, kind)) == {"nginx:2", "nginx:3"} and watched.least == 3
    await kubectl("delete", "pods", "-l", f"app={kind}")
    assert images(await WORKLOADS[kind].has(kubectl)) == {"nginx:3"}
    refused = await kubectl.fails("patch", kind, kind, "-p", '{"spec":{"selector":{"matchLabels":{"app":"b"}}}}')
    assert "field is immutable" in refused


@pytest.mark.parametrize("kind", ["replicaset", "replicationcontroller"])
async def test_what_has_no_rollout_changes_only_its_next_pods(kubectl: Kubectl, kind: str) -> None:
    workload = WORKLOADS[kind]
    await kubectl("apply", "-f", "-", stdin=workload.manifest())
    await kubectl("scale", f"{kind}/{kind}", "--replicas=2")
    await kubectl("apply", "-f", "-", stdin=workload.manifest(4, "nginx:2"))
    found = await workload.has(kubectl, 4)
    assert images(found) == {"nginx:1", "nginx:2"}
    assert sorted(image_of(p) for p in found) == ["nginx:1"] * 2 + ["nginx:2"] * 2
    await kubectl("scale", f"{kind}/{kind}", "--replicas=0")
    await workload_is_empty(kubectl, kind)
    refused = await kubectl.fails(
        "patch", kind, kind, "-p", '{"spec":{"template":{"metadata":{"labels":{"app":"b"}}}}}'
    )
    assert "`selector` does not match template `labels`" in refused


async def workload_is_empty(kubectl: Kubectl, kind: str) -> None:
    await until(kubectl, kind, lambda pods: not pods)
    status = (await kubectl.json("get", kind, kind))["status"]
    assert status["replicas"] == 0 and "readyReplicas" not in status


async def test_a_job_is_widened_narrowed_and_suspended_while_it_runs(kubectl: Kubectl) -> None:
    workload = WORKLOADS["job"]
    await kubectl("apply", "-f", "-", stdin=workload.manifest(completionMode="Indexed", completions=3))
    await workload.has(kubectl)
    await kubectl("patch", "job", "job", "-p", '{"spec":{"parallelism":5,"completions":5}}')
    await workload.has(kubectl, 5)
    await kubectl("patch", "job", "job", "-p", '{"spec":{"parallelism":2}}')
    await workload.has(kubectl, 2)
    await kubectl("patch", "job", "job", "-p", '{"spec":{"suspend":true}}')
    await kubectl("wait", "job/job", "--for=condition=Suspended", "--timeout=20s")
    await until(kubectl, "job", lambda pods: not pods)
    await kubectl("patch", "job", "job", "-p", '{"spec":{"suspend":false}}')
    found = await workload.has(kubectl, 2)
    indexes = {p["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for p in found}
    assert indexes == {"0", "1"}
    events = await kubectl("describe", "job")
    assert "Suspended" in events and "Resumed" in events and "SuccessfulDelete" in events
    status = (await kubectl.json("get", "job", "job"))["status"]
    assert "failed" not in status and "succeeded" not in status, "who was sent away is no failure"
    for change in ('{"completionMode":"NonIndexed"}', '{"template":{"spec":{"hostNetwork":true}}}'):
        refused = await kubectl.fails("patch", "job", "job", "-p", f'{{"spec":{change}}}')
        assert 'The Job "job" is invalid' in refused and "field is immutable" in refused
    refused = await kubectl.fails("patch", "job", "job", "-p", '{"spec":{"completions":9}}')
    assert "spec.completions: Invalid value: 9: can only be modified in tandem with spec.parallelism" in refused


async def test_a_cron_job_changes_between_two_of_its_times(kubectl: Kubectl) -> None:
    await kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=*/5 * * * *", "--", "true")
    made = (
        "get",
        "jobs",
        "-o",
        "jsonpath={.items[*].metadata.annotations.batch\\.kubernetes\\.io/cronjob-scheduled-timestamp}",
    )
    await kubectl.advance(630)
    first = (await kubectl(*made)).split()
    assert len(first) in (2, 3) and all(int(time[14:16]) % 5 == 0 for time in first)
    await kubectl("patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}')
    await kubectl.advance(1200)
    assert (await kubectl(*made)).split() == first
    await kubectl("patch", "cronjob", "tick", "-p", '{"spec":{"suspend":false,"schedule":"*/7 * * * *"}}')
    await kubectl.advance(430)
    new = set((await kubectl(*made)).split()) - set(first)
    assert new and all(int(time[14:16]) % 7 == 0 for time in new), "it goes on with the new schedule's next time"
    assert "invalid: spec.schedule" in await kubectl.fails(
        "patch", "cronjob", "tick", "-p", '{"spec":{"schedule":"soon"}}'
    )
