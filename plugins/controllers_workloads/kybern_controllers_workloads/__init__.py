"""The workload controllers: from Deployment and ReplicaSet to Job, CronJob and HorizontalPodAutoscaler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.reconcile.interface import Controller


@hookimpl
def kybern_controllers(start: Start) -> Iterable[Controller]:
    from kybern_controllers_workloads.cronjob import CronJobController
    from kybern_controllers_workloads.daemonset import DaemonSetController
    from kybern_controllers_workloads.deployment import DeploymentController
    from kybern_controllers_workloads.hpa import HorizontalPodAutoscalerController
    from kybern_controllers_workloads.job import JobController
    from kybern_controllers_workloads.job_orphans import JobOrphansController
    from kybern_controllers_workloads.replicaset import ReplicaSetController
    from kybern_controllers_workloads.replicationcontroller import ReplicationControllerController
    from kybern_controllers_workloads.statefulset import StatefulSetController
    from kybern_controllers_workloads.ttl_after_finished import TTLAfterFinishedController

    return [
        DeploymentController(),
        ReplicaSetController(),
        ReplicationControllerController(),
        StatefulSetController(),
        DaemonSetController(),
        JobController(),
        CronJobController(),
        JobOrphansController(),
        TTLAfterFinishedController(),
        HorizontalPodAutoscalerController(),
    ]
