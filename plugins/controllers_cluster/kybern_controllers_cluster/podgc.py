"""Pods that nobody will end: those of nodes that are gone, those deleted before they had a node, and, beyond a
threshold, the oldest of those that are finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.reconcile.bursts import all_at_once
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.pods import is_finished
from kybern_controllers_cluster.nodelifecycle import readiness
from kybern_controllers_cluster.pod_disruption import mark

QUARANTINE = 40.0
"""Seconds a node must be gone before its pods are believed to be."""
THRESHOLD = 12_500
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
SWEEP = Key("", "")


class PodGCController(Controller):
    """Keys are pods, nodes (without namespace), and one for the finished pods together."""

    name = "podgc"
    event_source = "pod-garbage-collector"
    workers = 2

    def __init__(self, threshold: int = THRESHOLD) -> None:
        self.threshold = threshold

    def setup(self, context: Context) -> None:
        from kybern.api.core import Node, Pod

        self.context, self.client, self.clock = context, context.client, context.clock
        self.node_kind = Node
        self._finished: dict[str, Key] = {}
        self.nodes = context.informer(Node)
        self.pods = context.informer(Pod)
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName,) if pod.spec.nodeName else ())
        self.nodes.on_change(self._node_changed)
        self.pods.on_change(self._pod_changed)

    def _node_changed(self, old: Any, new: Any) -> None:
        if new is None:
            self.context.enqueue(Key("", old.metadata.name), QUARANTINE)
        elif _is_out_of_service(new) and (old is None or not _is_out_of_service(old)):
            self.context.enqueue(Key("", new.metadata.name))

    def _pod_changed(self, old: Any, new: Any) -> None:
        pod = new if new is not None else old
        uid, key = pod.metadata.uid, Key(pod.metadata.namespace, pod.metadata.name)
        if new is None or not is_finished(new):
            self._finished.pop(uid, None)
        elif uid not in self._finished:
            self._finished[uid] = key
            if len(self._finished) > self.threshold > 0:
                self.context.enqueue(SWEEP)
        if new is None:
            return
        node = new.spec.nodeName
        if new.metadata.deletionTimestamp and not node:
            self.context.enqueue(key)
        elif node and (old is None or not old.spec.nodeName) and self.nodes.get(node) is None:
            self.context.enqueue(Key("", node), QUARANTINE)
        elif new.metadata.deletionTimestamp and _is_out_of_service(self.nodes.get(node)):
            self.context.enqueue(Key("", node))

    async def reconcile(self, key: Key) -> Result | None:
        if key == SWEEP:
            await self._sweep()
        elif key.namespace:
            await self._end_unscheduled(key)
        else:
            await self._end_lost(key.name)
        return None

    async def _end_unscheduled(self, key: Key) -> None:
        pod: Any = self.pods.get(key.name, key.namespace)
        if pod is not None and pod.metadata.deletionTimestamp and not pod.spec.nodeName:
            await self._end(pod, "")

    async def _end_lost(self, name: str) -> None:
        pods = self.pods.by_index("node", name)
        node: Any = self.nodes.get(name)
        if _is_out_of_service(node):
            await self._end_all([p for p in pods if p.metadata.deletionTimestamp], "")
        elif node is None and pods and not await self._exists(name):
            await self._end_all(pods, "PodGC: node no longer exists")

    async def _exists(self, node: str) -> bool:
        try:
            await self.client.get(self.node_kind, node)
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _sweep(self) -> None:
        surplus = len(self._finished) - self.threshold
        if surplus <= 0:
            return
        pods: list[Any] = [p for key in self._finished.values() if (p := self.pods.get(key.name, key.namespace))]
        pods.sort(key=_worth)
        await self._end_all(pods[:surplus], "")

    async def _end_all(self, pods: Sequence[Any], why: str) -> None:
        errors = await all_at_once(pods, lambda pod: self._end(pod, why))
        if errors:
            raise errors[0]

    async def _end(self, pod: Any, why: str) -> None:
        """Delete without grace. A pod that was not finished is failed first, so that its owner counts it right."""
        metadata = pod.metadata
        try:
            if not is_finished(pod):
                await self._fail(pod, why)
            await self.client.delete(type(pod), metadata.name, metadata.namespace, uid=metadata.uid, grace_period=0)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _fail(self, pod: Any, why: str) -> None:
        changed = mark(pod, "DeletionByPodGC", why, self.clock.now()) if why else types.copy(pod)
        changed.status.phase = "Failed"
        await self.client.update_status(changed)


def _worth(pod: Any) -> tuple[bool, str, str, str]:
    """Evicted pods go first: controllers count on those that ended by themselves. Then the oldest."""
    metadata, status = pod.metadata, pod.status
    evicted = status.phase == "Failed" and status.reason == "Evicted"
    return not evicted, metadata.creationTimestamp or "", metadata.name, metadata.namespace


def _is_out_of_service(node: Any) -> bool:
    """Whether somebody says so of the node, and it shows no sign of the contrary: a ready node ends its pods itself."""
    if node is None or readiness(node) == "True":
        return False
    return any(t.key == OUT_OF_SERVICE for t in node.spec.taints or ())
