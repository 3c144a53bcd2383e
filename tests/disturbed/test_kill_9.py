"""`kybern up` is killed with -9 several times in the middle of everything at once, and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kybern.cluster.state import State
from tests.disturbed.stories import CLAIMS, QUOTA, SERVICE, SURGE, job, together, workload
from tests.e2e.conftest import Kubectl, UserMachine

TICK = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "* * * * *"
  successfulJobsHistoryLimit: 50
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: busybox, command: [sh, -c, exit 0]}]
"""
AROUND = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 3
  maxReplicas: 3
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: keep}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[UserMachine]:
    """A fresh home with one cluster of two nodes, on a virtual clock."""
    user = UserMachine(tmp_path)
    user.kybern("up", "--port", "0", "--nodes", "2", "--name", "hard", "--clock", "virtual")
    yield user
    user.kybern("delete", "--name", "hard", check=False)


def everything(image: str) -> str:
    """One of each kind; those with pods run that image."""
    return together(
        workload("Deployment", image, SURGE.replace("replicas: 2", "minReadySeconds: 2")),
        workload("StatefulSet", image, CLAIMS).replace("web", "db"),
        workload("DaemonSet", image).replace("web", "agent"),
        workload("ReplicaSet", image, "replicas: 2").replace("web", "set"),
        workload("ReplicationController", image, "replicas: 2", "v1").replace("web", "old"),
        job("count", "sleep 2", "completionMode: Indexed\n  completions: 6\n  parallelism: 2"),
        TICK, AROUND, SERVICE, QUOTA.replace("PODS", "40").replace('requests.cpu: "1"', "count/jobs.batch: 60"),
    )  # fmt: skip


def killed(machine: UserMachine) -> None:
    """No process of the cluster is asked anything; the same cluster comes up from what was written."""
    pid = State(machine.home / ".kybern" / "hard").pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    machine.kybern("up", "--name", "hard")


def test_killed_again_and_again_everything_comes_to_the_right_end(machine: UserMachine) -> None:
    kubectl = machine.kubectl()
    kubectl("apply", "-f", "-", stdin=everything("nginx:1"))
    for image in ("nginx:1", "nginx:2", "nginx:3"):
        kubectl("apply", "-f", "-", stdin=everything(image))
        machine.kybern("clock", "advance", "3s")
        killed(machine)
        machine.kybern("clock", "advance", "40s")
    machine.kybern("clock", "advance", "5m")
    for kind, count in (("deployment/web", 3), ("statefulset/db", 2), ("daemonset/agent", 2)):
        kubectl("rollout", "status", kind, "--timeout=30s")
        assert images(kubectl, kind) == ["nginx:3"] * count
    for kind in ("replicaset/set", "replicationcontroller/old"):
        kubectl("wait", kind, "--for=jsonpath={.status.readyReplicas}=2", "--timeout=30s")
    kubectl("wait", "job/count", "--for=condition=Complete", "--timeout=30s")
    no_index_was_counted_twice(kubectl)
    no_time_was_started_twice(kubectl)
    all_else_agrees(kubectl)


def images(kubectl: Kubectl, owner: str) -> list[str]:
    name = owner.partition("/")[2]
    path = "{.items[*].spec.containers[0].image}"
    return kubectl("get", "pods", "-l", f"app={name}", "-o", f"jsonpath={path}").split()


def no_index_was_counted_twice(kubectl: Kubectl) -> None:
    status = kubectl.json("get", "job", "count")["status"]
    assert (status["completedIndexes"], status["succeeded"]) == ("0-5", 6)
    assert status.get("failed", 0) == 0 and not status.get("uncountedTerminatedPods")
    pods = kubectl.json("get", "pods", "-l", "batch.kubernetes.io/job-name=count")["items"]
    indexes = [pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods]
    assert sorted(indexes) == list("012345")
    assert not any("finalizers" in pod["metadata"] for pod in pods)


def no_time_was_started_twice(kubectl: Kubectl) -> None:
    jobs = [job for job in kubectl.json("get", "jobs")["items"] if job["metadata"]["name"].startswith("tick-")]
    times = [job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] for job in jobs]
    assert len(times) == len(set(times)) > 3
    assert not kubectl.json("get", "cronjob", "tick")["status"].get("active")


def all_else_agrees(kubectl: Kubectl) -> None:
    """What is counted and listed is what there is."""
    kubectl("wait", "pdb/keep", "--for=jsonpath={.status.disruptionsAllowed}=2", "--timeout=30s")
    addresses = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIP}").split()
    listed = kubectl.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    assert sorted(e["addresses"][0] for s in listed for e in s["endpoints"]) == sorted(addresses)
    assert kubectl("get", "pvc", "-o", "jsonpath={.items[*].status.phase}").split() == ["Bound", "Bound"]
    # No further Job while they are counted.
    kubectl("patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}')
    jobs = kubectl("get", "jobs", "-o", "name").split()
    kubectl("wait", "quota/q", f"--for=jsonpath={{.status.used.count/jobs\\.batch}}={len(jobs)}", "--timeout=30s")
    used = kubectl.json("get", "quota", "q")["status"]["used"]
    live = kubectl("get", "pods", "--field-selector=status.phase=Running", "-o", "name").split()
    assert used == {"pods": str(len(live)), "count/jobs.batch": str(len(jobs))}
