"""Jobs and CronJobs in a whole cluster: API server, scheduler, fake nodes, on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from kybern.api import types
from kybern.api.batch import CronJob, Job
from kybern.api.core import Event, Pod
from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.cluster.cluster import Cluster
from kybern.config import APIConfig, Config, NodesConfig, StoreConfig
from kybern_controllers_workloads.job_pods import FINALIZER, INDEX

pytestmark = pytest.mark.anyio


@pytest.fixture
def kybern_config() -> Config:
    """Two nodes, for pods that run side by side."""
    store = StoreConfig(driver="memory")
    return Config(name="test", api=APIConfig(port=0), store=store, nodes=NodesConfig(count=2))


def job(command: str, name: str = "work", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", command]}
    template = {"metadata": {"annotations": annotations or {}}, "spec": {"restartPolicy": "Never"}}
    template["spec"]["containers"] = [container]
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"template": template, **spec}}


async def create(cluster: Cluster, kind: type[Any], data: dict[str, Any]) -> Any:
    return await cluster.client.create(types.from_plain(kind, data))


async def until(cluster: Cluster, done: Callable[[], Any], limit: float = 900) -> None:
    clock: Any = cluster.clock
    await clock.advance_until(lambda: bool(done()), limit)


async def advance(cluster: Cluster, seconds: float) -> None:
    clock: Any = cluster.clock
    await clock.advance(seconds)


def the_job(cluster: Cluster, name: str = "work") -> Any:
    return cluster.informers.informer(Job).get(name, "default")


def pods(cluster: Cluster, phase: str = "") -> list[Any]:
    found: list[Any] = cluster.informers.informer(Pod).list("default")
    return [pod for pod in found if not phase or pod.status.phase == phase]


def ended(cluster: Cluster, name: str = "work") -> str:
    found = the_job(cluster, name)
    conditions = (found.status.conditions or ()) if found is not None else ()
    return next((f"{c.type} {c.reason}" for c in conditions if c.type in ("Complete", "Failed")), "")


async def test_a_job_completes(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("sleep 5", completions=5, parallelism=2))
    await until(kybern_cluster, lambda: len(pods(kybern_cluster, "Running")) == 2)
    await until(kybern_cluster, lambda: the_job(kybern_cluster).status.ready == 2)
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    status = the_job(kybern_cluster).status
    assert (ended(kybern_cluster), status.succeeded, status.active) == ("Complete CompletionsReached", 5, None)
    assert len(pods(kybern_cluster, "Succeeded")) == 5
    assert not any(pod.metadata.finalizers for pod in pods(kybern_cluster))


async def test_a_failing_job_gives_up(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("exit 3", backoffLimit=2))
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    assert ended(kybern_cluster) == "Failed BackoffLimitExceeded"
    assert len(pods(kybern_cluster, "Failed")) == 3
    await until(
        kybern_cluster,
        lambda: any(e.reason == "BackoffLimitExceeded" for e in kybern_cluster.informers.informer(Event).list()),
    )


async def test_indexed_pods_get_their_turn_until_each_has_succeeded(kybern_cluster: Cluster) -> None:
    """Index 1 fails twice, then succeeds."""
    command = "exit 0"
    data = job(command, completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=2)
    data["spec"]["podFailurePolicy"] = {
        "rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [3]}}]
    }
    data["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", "sleep 5; exit 3"]
    await create(kybern_cluster, Job, data)
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    assert ended(kybern_cluster) == "Failed FailedIndexes"
    status = the_job(kybern_cluster).status
    assert (status.failedIndexes, status.completedIndexes, status.failed) == ("0-2", None, 9)
    counts = sorted(
        pod.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] for pod in pods(kybern_cluster)
    )
    assert counts == ["0"] * 3 + ["1"] * 3 + ["2"] * 3


async def test_a_pod_policy_reads_real_exit_codes(kybern_cluster: Cluster) -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}]
    await create(kybern_cluster, Job, job("exit 42", podFailurePolicy={"rules": rules}))
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    assert ended(kybern_cluster) == "Failed PodFailurePolicy"
    assert "exit code 42 matching FailJob rule at index 0" in the_job(kybern_cluster).status.conditions[-1].message


async def test_the_deadline_stops_running_pods(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("sleep 1000", parallelism=2, completions=2, activeDeadlineSeconds=30))
    await until(kybern_cluster, lambda: ended(kybern_cluster), 120)
    assert ended(kybern_cluster) == "Failed DeadlineExceeded"
    assert the_job(kybern_cluster).status.failed == 2
    await until(kybern_cluster, lambda: not pods(kybern_cluster, "Running"))


async def test_suspend_and_resume(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("sleep 100", completions=2, parallelism=2))
    await until(kybern_cluster, lambda: len(pods(kybern_cluster, "Running")) == 2)
    await kybern_cluster.client.patch(Job, "work", "default", {"spec": {"suspend": True}})
    await until(kybern_cluster, lambda: not pods(kybern_cluster))
    assert the_job(kybern_cluster).status.failed is None
    assert the_job(kybern_cluster).status.startTime is None
    await advance(kybern_cluster, 60)
    tolerations = [{"key": "night", "operator": "Exists"}]
    template = {"spec": {"tolerations": tolerations}}
    await kybern_cluster.client.patch(Job, "work", "default", {"spec": {"template": template}})
    await kybern_cluster.client.patch(Job, "work", "default", {"spec": {"suspend": False}})
    await until(kybern_cluster, lambda: len(pods(kybern_cluster, "Running")) == 2)
    assert all(pod.spec.tolerations[0].key == "night" for pod in pods(kybern_cluster))
    with pytest.raises(StatusError, match="field is immutable"):
        await kybern_cluster.client.patch(
            Job, "work", "default", {"spec": {"template": {"spec": {"tolerations": None}}}}
        )
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    assert the_job(kybern_cluster).status.succeeded == 2
    assert the_job(kybern_cluster).status.startTime > "2026-01-01T00:01"


async def test_the_spec_changes_in_mid_run(kybern_cluster: Cluster) -> None:
    data = job("sleep 20", completions=4, parallelism=4, completionMode="Indexed")
    await create(kybern_cluster, Job, data)
    await until(kybern_cluster, lambda: len(pods(kybern_cluster, "Running")) == 4)
    await kybern_cluster.client.patch(Job, "work", "default", {"spec": {"completions": 6, "parallelism": 6}})
    await until(kybern_cluster, lambda: len(pods(kybern_cluster, "Running")) == 6, 15)
    await kybern_cluster.client.patch(Job, "work", "default", {"spec": {"completions": 5, "parallelism": 5}})
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    status = the_job(kybern_cluster).status
    assert (status.completedIndexes, status.succeeded, status.failed) == ("0-4", 5, None)
    assert {pod.metadata.annotations[INDEX] for pod in pods(kybern_cluster, "Succeeded")} == set("01234")
    with pytest.raises(StatusError, match="field is immutable"):
        await kybern_cluster.client.patch(Job, "work", "default", {"spec": {"completionMode": "NonIndexed"}})


async def test_a_finished_job_goes_with_its_pods_when_its_time_is_over(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("exit 0", ttlSecondsAfterFinished=50))
    await until(kybern_cluster, lambda: ended(kybern_cluster))
    await advance(kybern_cluster, 45)
    assert pods(kybern_cluster, "Succeeded")
    await until(kybern_cluster, lambda: the_job(kybern_cluster) is None and not pods(kybern_cluster), 60)


@pytest.mark.parametrize("way", ["Background", "Foreground", "Orphan"])
async def test_a_running_job_is_deleted(kybern_cluster: Cluster, way: Any) -> None:
    await create(kybern_cluster, Job, job("sleep 1000", completions=3, parallelism=3))
    await until(kybern_cluster, lambda: len(pods(kybern_cluster, "Running")) == 3)
    await kybern_cluster.client.delete(Job, "work", "default", propagation=way)
    await until(kybern_cluster, lambda: the_job(kybern_cluster) is None)
    if way == "Orphan":
        await until(kybern_cluster, lambda: not any(p.metadata.finalizers for p in pods(kybern_cluster)))
        assert len(pods(kybern_cluster, "Running")) == 3
        return
    await until(kybern_cluster, lambda: not pods(kybern_cluster))


async def test_hours_of_a_cronjob(kybern_cluster: Cluster) -> None:
    spec = {"schedule": "15 * * * *", "timeZone": "America/New_York", "successfulJobsHistoryLimit": 2}
    spec["jobTemplate"] = {"spec": job("sleep 5")["spec"]}
    await create(kybern_cluster, CronJob, {"metadata": {"name": "tick", "namespace": "default"}, "spec": spec})
    made: set[str] = set()
    for _ in range(4):
        await advance(kybern_cluster, 3600)
        made |= {
            job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
            for job in kybern_cluster.informers.informer(Job).list()
        }
    assert sorted(made) == [f"2025-12-31T{hour}:15:00-05:00" for hour in (19, 20, 21, 22)]
    left: list[Any] = kybern_cluster.informers.informer(Job).list()
    assert len(left) == 2 and len(pods(kybern_cluster)) == 2
    tick = await kybern_cluster.client.get(CronJob, "tick", "default")
    assert not tick.status.active and tick.status.lastSuccessfulTime > tick.status.lastScheduleTime


async def test_at_rest_nothing_is_written(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("exit 0", name="done"))
    await create(kybern_cluster, Job, job("sleep infinity", name="runs"))
    await until(kybern_cluster, lambda: ended(kybern_cluster, "done") and pods(kybern_cluster, "Running"))
    await advance(kybern_cluster, 30)
    done, runs = the_job(kybern_cluster, "done"), the_job(kybern_cluster, "runs")
    await advance(kybern_cluster, 1200)
    assert the_job(kybern_cluster, "done") is done and the_job(kybern_cluster, "runs") is runs
    assert FINALIZER in pods(kybern_cluster, "Running")[0].metadata.finalizers


async def test_a_pod_that_never_ran_is_counted_when_it_is_deleted(kybern_cluster: Cluster) -> None:
    """Also where only pods that have ended count: one without a node has nobody to say that it has."""
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    data = job("exit 0", podFailurePolicy={"rules": rules})
    data["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such"}
    await create(kybern_cluster, Job, data)
    await until(kybern_cluster, lambda: pods(kybern_cluster, "Pending"))
    gone = pods(kybern_cluster)[0].metadata
    await kybern_cluster.client.delete(Pod, gone.name, "default")
    await until(kybern_cluster, lambda: pods(kybern_cluster) and pods(kybern_cluster)[0].metadata.uid != gone.uid, 120)
    assert the_job(kybern_cluster).status.failed == 1


async def test_a_thousand_seconds_of_back_off(kybern_cluster: Cluster) -> None:
    await create(kybern_cluster, Job, job("exit 1", backoffLimit=7))
    await until(kybern_cluster, lambda: ended(kybern_cluster), 3000)
    starts = sorted(pod.status.startTime for pod in pods(kybern_cluster))
    seconds = [parse_time(text) for text in starts]
    gaps = [round(b - a) for a, b in pairwise(seconds)]
    assert all(
        wanted <= gap <= wanted + 3 for gap, wanted in zip(gaps, [10, 20, 40, 80, 160, 320, 600], strict=True)
    ), gaps
