"""NoExecute taints: pods leave a node whose taint they do not tolerate, or no longer tolerate.

When a pod must go is computed anew from its tolerations and its node's taints each time either
changes; until then the key waits in the queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api.placement import tolerates
from kybern.api.time import parse_time
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern_controllers_cluster.pod_disruption import end_pod

FOREVER = float("inf")


def seconds_tolerated(tolerations: Sequence[Any], taints: Iterable[Any]) -> float:
    """How long a pod bears the taints; 0 when it does not tolerate one of them. Of several tolerations that cover a
    taint the first counts, of several taints the shortest time."""
    shortest = FOREVER
    for taint in taints:
        covering = next((t for t in tolerations if tolerates(t, taint)), None)
        if covering is None:
            return 0.0
        if covering.tolerationSeconds is not None:
            shortest = min(shortest, max(0.0, covering.tolerationSeconds))
    return shortest


class TaintEvictionController(Controller):
    """Deletes pods; keys are theirs."""

    name = "tainteviction"
    event_source = "taint-eviction-controller"
    workers = 8

    def setup(self, context: Context) -> None:
        from kybern.api.core import Node, Pod

        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self._since: dict[str, float] = {}
        self.nodes = context.watch(Node, self._pods_on, on=_taints_changed)
        self.pods = context.watch(Pod, on=self._concerns)
        self.pods.add_index("node", lambda pod: (pod.spec.nodeName,) if pod.spec.nodeName else ())

    def _pods_on(self, node: Any) -> Iterable[Key]:
        pods = self.pods.by_index("node", node.metadata.name)
        return [Key(pod.metadata.namespace, pod.metadata.name) for pod in pods]

    def _concerns(self, old: Any, new: Any) -> bool:
        """A new binding or other tolerations; a pod on a node without such taints needs no look."""
        if new is None:
            if self._since.pop(old.metadata.uid, None):
                self._tell_cancelled(old)
            return False
        if not new.spec.nodeName or new.metadata.deletionTimestamp:
            return False
        if old is not None and old.spec.nodeName and old.spec.tolerations == new.spec.tolerations:
            return False
        return bool(self._taints_of(new))

    def _taints_of(self, pod: Any) -> list[Any]:
        node: Any = self.nodes.get(pod.spec.nodeName) if pod.spec.nodeName else None
        return _no_execute(node) if node is not None else []

    async def reconcile(self, key: Key) -> Result | None:
        pod: Any = self.pods.get(key.name, key.namespace)
        if pod is None or pod.metadata.deletionTimestamp:
            return None
        uid, now = pod.metadata.uid, self.clock.now()
        taints = self._taints_of(pod)
        bearable = seconds_tolerated(pod.spec.tolerations or (), taints) if taints else FOREVER
        if bearable == FOREVER:
            if self._since.pop(uid, None):
                self._tell_cancelled(pod)
            return None
        left = self._started(uid, taints, now) + bearable - now
        if left > 0:
            return Result(left)
        # Due in any case from now on, and its end is no longer a cancellation.
        self._since[uid] = 0.0
        await self._evict(pod)
        return None

    def _started(self, uid: str, taints: Sequence[Any], now: float) -> float:
        """When the pod began to bear it. A taint that another follows (not ready, then unreachable) starts no new term,
        and a restart of ours neither, as the taints say when they came."""
        known = self._since.get(uid)
        if known is None:
            added = [parse_time(t.timeAdded) for t in taints if t.timeAdded]
            known = self._since[uid] = min([now, *added])
        return known

    def _tell_cancelled(self, pod: Any) -> None:
        text = f"Cancelling deletion of Pod {pod.metadata.namespace}/{pod.metadata.name}"
        self.events.event(pod, "Normal", "TaintManagerEviction", text)

    async def _evict(self, pod: Any) -> None:
        metadata = pod.metadata
        text = f"Marking for deletion Pod {metadata.namespace}/{metadata.name}"
        self.events.event(pod, "Normal", "TaintManagerEviction", text)
        why = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
        await end_pod(self.client, self.clock, pod, *why)


def _no_execute(node: Any) -> list[Any]:
    return [t for t in node.spec.taints or () if t.effect == "NoExecute"]


def _taints_changed(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return new is not None and bool(_no_execute(new))
    return _no_execute(old) != _no_execute(new)
