"""Jobs for tests, and what happens to their pods."""

from __future__ import annotations

from typing import Any

from kybern.api.batch import Job, JobCondition
from kybern.api.core import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodCondition,
)
from kybern.api.time import format_time
from kybern.testing.world import World
from kybern_controllers_workloads.job import JobController
from kybern_controllers_workloads.job_orphans import JobOrphansController
from kybern_controllers_workloads.job_pods import FINALIZER, INDEX

TEMPLATE = {
    "metadata": {"labels": {"job": "work"}},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]},
}


def job(completions: int | None = 1, parallelism: int = 1, name: str = "work", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "completions": completions,
            "parallelism": parallelism,
            "template": {**TEMPLATE, "metadata": {"labels": {"job": name}}},
            **spec,
        },
    }


def indexed(completions: int, parallelism: int, **spec: Any) -> dict[str, Any]:
    return job(completions, parallelism, completionMode="Indexed", **spec)


def controllers() -> tuple[JobController, JobOrphansController]:
    return JobController(), JobOrphansController()


def the_job(world: World) -> Any:
    return world.all(Job)[0]


def active(world: World) -> list[Any]:
    return [p for p in world.all(Pod) if p.status.phase not in ("Succeeded", "Failed")]


def conditions(world: World) -> list[str]:
    return [f"{c.type}={c.status} {c.reason}" for c in the_job(world).status.conditions or ()]


def indexes(pods: list[Any]) -> list[int]:
    return sorted(int(pod.metadata.annotations[INDEX]) for pod in pods)


def tracked(world: World) -> list[Any]:
    return [pod for pod in world.all(Pod) if FINALIZER in (pod.metadata.finalizers or ())]


async def end(world: World, pod: Any, code: int = 0, condition: str = "") -> None:
    """The pod's container exits."""
    time = format_time(world.clock.now())

    def change(pod: Any) -> None:
        terminated = ContainerStateTerminated(exitCode=code, finishedAt=time)
        pod.status.phase = "Failed" if code else "Succeeded"
        pod.status.containerStatuses = [ContainerStatus(name="c", state=ContainerState(terminated=terminated))]
        if condition:
            pod.status.conditions = [PodCondition(type=condition, status="True")]

    await world.set_status(pod, change)


async def end_all(world: World, code: int = 0) -> None:
    """All that work end; the controller hears of it."""
    for pod in active(world):
        await end(world, pod, code)
    await world.settle(1)


async def place(world: World, pod: Any) -> None:
    """The scheduler gives the pod a node, so that its deletion takes its time."""
    await world.bind(pod, "n1")


async def patch_spec(world: World, **spec: Any) -> None:
    await world.client.patch(Job, "work", "default", {"spec": spec})
    await world.settle(0.5)


async def end_job(world: World, job: Any, type: str = "Complete") -> None:
    """Say that the Job is over, as its controller says it."""
    now = format_time(world.clock.now())
    before = "SuccessCriteriaMet" if type == "Complete" else "FailureTarget"

    def change(job: Any) -> None:
        job.status.startTime = job.status.startTime or job.metadata.creationTimestamp
        job.status.completionTime = now if type == "Complete" else None
        job.status.conditions = [JobCondition(type=t, status="True", lastTransitionTime=now) for t in (before, type)]

    await world.set_status(job, change)
