"""The controllers of Jobs, CronJobs and autoscalers meet the controllers' contract."""

from __future__ import annotations

from typing import Any

from kybern.api.apps import Deployment
from kybern.api.autoscaling import HorizontalPodAutoscaler
from kybern.api.batch import CronJob, Job, JobCondition
from kybern.api.core import Pod
from kybern.api.time import format_time
from kybern.reconcile.interface import Controller
from kybern.testing.controller import ControllerContract
from kybern.testing.world import World
from kybern_controllers_workloads.cronjob import CronJobController
from kybern_controllers_workloads.hpa import HorizontalPodAutoscalerController
from kybern_controllers_workloads.job import JobController
from kybern_controllers_workloads.job_orphans import JobOrphansController
from kybern_controllers_workloads.job_pods import FINALIZER
from kybern_controllers_workloads.ttl_after_finished import TTLAfterFinishedController
from tests.controllers.hpa_world import MeasuredClient, autoscaler
from tests.controllers.jobs import active, end, indexed, job
from tests.controllers.objects import least
from tests.controllers.test_cronjob import cronjob
from tests.controllers.test_hpa import deploy, live


class Working(ControllerContract):
    """Jobs whose pods a kubelet runs; those of `doomed` fail."""

    def make(self) -> Controller:
        return JobController()

    def others(self) -> list[Controller]:
        return [JobOrphansController()]

    async def act(self, world: World) -> None:
        await world.settle(1)
        for _ in range(20):
            pods = active(world)
            for pod in pods:
                await end(world, pod, int(pod.metadata.name.startswith("doomed")))
            await world.settle(1)
            if not pods:
                break
        await world.settle(60)


class TestJob(Working):
    async def populate(self, world: World) -> None:
        await world.apply(Job, job(3, 2))
        await world.apply(Job, job(1, name="doomed", backoffLimit=0))

    def check(self, world: World) -> None:
        told = {
            j.metadata.name: (j.status.succeeded, j.status.failed, j.status.conditions[-1].type) for j in world.all(Job)
        }
        assert told == {"work": (3, None, "Complete"), "doomed": (None, 1, "Failed")}


class TestIndexedJob(Working):
    async def populate(self, world: World) -> None:
        await world.apply(Job, indexed(2, 2))

    def check(self, world: World) -> None:
        assert [j.status.completedIndexes for j in world.all(Job)] == ["0,1"]


class TestJobOrphans(ControllerContract):
    def make(self) -> Controller:
        return JobOrphansController()

    async def populate(self, world: World) -> None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "gone", "uid": "u", "controller": True}
        for name in ("p", "q"):
            await world.apply(Pod, least(Pod, name, finalizers=[FINALIZER], ownerReferences=[owner]))

    def check(self, world: World) -> None:
        assert not any(pod.metadata.finalizers for pod in world.all(Pod))


async def complete(world: World, made: Any) -> None:
    """The Job has done its work."""
    now = format_time(world.clock.now())
    done = [JobCondition(type=t, status="True", lastTransitionTime=now) for t in ("SuccessCriteriaMet", "Complete")]

    def change(changed: Any) -> None:
        changed.status.startTime = changed.status.completionTime = now
        changed.status.succeeded, changed.status.conditions = 1, done

    if not made.status.conditions:
        await world.set_status(made, change)


class TestTTLAfterFinished(ControllerContract):
    def make(self) -> Controller:
        return TTLAfterFinishedController()

    async def populate(self, world: World) -> None:
        for name, seconds in (("a", 30), ("b", 0), ("c", None)):
            await complete(world, await world.apply(Job, job(name=name, ttlSecondsAfterFinished=seconds)))

    def check(self, world: World) -> None:
        assert [j.metadata.name for j in world.all(Job) if not j.metadata.deletionTimestamp] == ["c"]


class TestCronJob(ControllerContract):
    """Its world begins at midnight."""

    def make(self) -> Controller:
        return CronJobController()

    async def populate(self, world: World) -> None:
        await world.apply(CronJob, cronjob("1,2,3 0 1 1 *", successfulJobsHistoryLimit=1))

    async def act(self, world: World) -> None:
        for _ in range(4):
            await world.settle(65)
            for made in world.all(Job):
                await complete(world, made)
        await world.settle(1)

    def check(self, world: World) -> None:
        [cron] = world.all(CronJob)
        assert not cron.status.active


class TestHorizontalPodAutoscaler(ControllerContract):
    def make(self) -> Controller:
        return HorizontalPodAutoscalerController()

    def world(self) -> World:
        world = World()
        client = world.client = MeasuredClient(world.clock)
        client.share = 100
        return world

    async def populate(self, world: World) -> None:
        await deploy(world)
        # One that has scaled before: what it notes of the moment of scaling, a crash in that moment may lose.
        seen = {"type": "ScaledToZero", "status": "False", "reason": "NotScaledToZero"}
        seen["message"] = "the HPA controller did not scale the workload to zero"
        seen["lastTransitionTime"] = before = format_time(world.clock.now())
        status = {"conditions": [seen], "lastScaleTime": before, "desiredReplicas": 2}
        await world.apply(HorizontalPodAutoscaler, autoscaler(most=4) | {"status": status})

    async def act(self, world: World) -> None:
        await live(world, 3)

    def check(self, world: World) -> None:
        assert world.all(Deployment)[0].spec.replicas == 4
