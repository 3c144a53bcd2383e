"""The kinds that own pods, as the tests of disturbances need them: named as they are, with their pods labelled so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from kybern.api.core import Pod
from tests.disturbed.kubectl import Kubectl

__all__ = ["WORKLOADS", "Watched", "Workload", "pods", "until"]


SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "DoNotSchedule",
    "nodeTaintsPolicy": "Honor",
}
"""So that there is a pod on each node, and none is missed on one that is dead."""
STEP = 3.0
"""Virtual seconds between two looks."""


@attrs.frozen
class Workload:
    """One kind, and where it shows what."""

    kind: str
    version: str = "apps/v1"
    creator: str = ""
    """Whose events tell of its pods, if not its own."""
    ready: str = "readyReplicas"
    """The field of its status that counts ready pods."""
    spec: dict[str, Any] = attrs.field(factory=dict)
    count: str = "replicas"
    """The field that says how many pods there shall be; empty: one per node."""

    @property
    def name(self) -> str:
        return self.kind.lower()

    @property
    def events_of(self) -> str:
        """What `kubectl describe` is asked for."""
        return self.creator or self.name

    def manifest(self, count: int = 3, image: str = "nginx:1", **spec: Any) -> str:
        """For `kubectl apply`: so many pods of that image."""
        labels = {"app": self.name}
        container = {"name": "c", "image": image, "command": ["sleep", "infinity"]}
        restart = {"restartPolicy": "Never"} if self.kind == "Job" else {}
        spread = {**SPREAD, "labelSelector": {"matchLabels": labels}}
        pod = {"terminationGracePeriodSeconds": 2, "containers": [container], **restart}
        pod["topologySpreadConstraints"] = [spread]
        selector = (
            {} if self.kind == "Job" else {"selector": labels if self.version == "v1" else {"matchLabels": labels}}
        )
        given = {**selector, "template": {"metadata": {"labels": labels}, "spec": pod}, **self.spec, **spec}
        if self.count:
            given[self.count] = count
        return json.dumps(
            {"apiVersion": self.version, "kind": self.kind, "metadata": {"name": self.name}, "spec": given}
        )

    async def has(self, kubectl: Kubectl, count: int = 3) -> list[Any]:
        """Wait until it has so many ready pods, and no others, and says so; returns them."""
        found = await until(kubectl, self.name, lambda pods: len(pods) == count and all(map(is_ready, pods)))
        counted = f"--for=jsonpath={{.status.{self.ready}}}={count}"
        await kubectl("wait", f"{self.name}/{self.name}", counted, "--timeout=20s")
        return found


WORKLOADS = {
    w.name: w
    for w in (
        Workload("Deployment", creator="replicaset"),
        Workload("ReplicaSet"),
        Workload("ReplicationController", "v1"),
        Workload("StatefulSet", spec={"serviceName": "web"}),
        Workload("DaemonSet", ready="numberReady", count=""),
        Workload("Job", "batch/v1", ready="ready", spec={"completions": 9}, count="parallelism"),
    )
}


def is_ready(pod: Any) -> bool:
    """Whether a pod serves and stays."""
    conditions = pod["status"].get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


async def pods(kubectl: Kubectl, app: str) -> list[Any]:
    """The pods of a workload that have not ended."""
    found = await kubectl.json("get", "pods", "-l", f"app={app}")
    return [pod for pod in found["items"] if pod["status"]["phase"] not in ("Succeeded", "Failed")]


async def until(kubectl: Kubectl, app: str, done: Callable[[list[Any]], bool], limit: float = 300) -> list[Any]:
    """Let time pass until kubectl shows such pods of a workload."""
    end = kubectl.cluster.clock.now() + limit
    while not done(found := await pods(kubectl, app)):
        assert kubectl.cluster.clock.now() < end, await kubectl("get", "pods", "-l", f"app={app}", "-o", "wide")
        await kubectl.advance(STEP)
    return found


def names(found: Iterable[Any]) -> set[str]:
    return {pod["metadata"]["name"] for pod in found}


def uids(found: Iterable[Any]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in found}


def nodes(found: Iterable[Any]) -> set[str]:
    return {pod["spec"]["nodeName"] for pod in found}


def image_of(pod: Any) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def images(found: Iterable[Any]) -> set[str]:
    return set(map(image_of, found))


class Watched:
    """How many pods of a workload there were at any moment since it was made."""

    def __init__(self, kubectl: Kubectl, app: str) -> None:
        self._where = kubectl.namespace, app
        self._live: dict[str, bool] = {}
        self.most = 0
        """Live ones."""
        self.least = 1_000_000
        """Ready ones, since `from_now`."""
        kubectl.cluster.informers.informer(Pod).on_change(self._changed)

    def from_now(self) -> None:
        """Forget what was until now."""
        self.most, self.least = len(self._live), sum(self._live.values())

    def _changed(self, old: Any, new: Any) -> None:
        pod = new if new is not None else old
        if (pod.metadata.namespace, (pod.metadata.labels or {}).get("app")) != self._where:
            return
        ended = new is None or pod.metadata.deletionTimestamp or pod.status.phase in ("Succeeded", "Failed")
        if ended:
            self._live.pop(pod.metadata.uid, None)
        else:
            conditions = pod.status.conditions or ()
            self._live[pod.metadata.uid] = any(c.type == "Ready" and c.status == "True" for c in conditions)
        self.most = max(self.most, len(self._live))
        self.least = min(self.least, sum(self._live.values()))
