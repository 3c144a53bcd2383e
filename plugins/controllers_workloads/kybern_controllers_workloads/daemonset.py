"""DaemonSet: one pod on every node that should have one.

`daemonset_nodes` knows which nodes those are, `daemonset_plan` decides what to do, `history` keeps the
revisions; this file does what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.reconcile.interface import Context, Key, Result
from kybern.reconcile.pods import is_finished, is_ready
from kybern_controllers_workloads.daemonset_nodes import new_pod, node_of, places
from kybern_controllers_workloads.daemonset_plan import Place, Plan, Revision, limits, manage, update
from kybern_controllers_workloads.history import HASH_LABEL, History, watch_revisions
from kybern_controllers_workloads.pods_controller import PodsController, next_available, soonest

BURST = 250
"""Pods created or deleted in one reconcile at most."""
BACKOFF_BASE, BACKOFF_LIMIT = 1.0, 900.0
"""Seconds between two replacements of a pod that keeps failing on a node."""


@attrs.define
class _Backoff:
    """Of one node of one set."""

    seconds: float
    since: float


class DaemonSetController(PodsController):
    """Keeps DaemonSets."""

    name = "daemonset"

    def setup(self, context: Context) -> None:
        from kybern.api.apps import DaemonSet
        from kybern.api.core import Node

        self.kind = DaemonSet
        super().setup(context)
        self._backoffs: dict[tuple[str, str], _Backoff] = {}
        self.nodes = context.watch(Node, self._sets_moved_by, on=_concerns)
        self.revisions = watch_revisions(context)

    def _sets_moved_by(self, node: Any) -> Iterable[Key]:
        return [Key(s.metadata.namespace, s.metadata.name) for s in self.owners.list()]

    async def reconcile(self, key: Key) -> Result | None:
        daemon_set: Any = self.owners.get(key.name, key.namespace)
        if daemon_set is None:
            self.expectations.forget(key)
            return None
        if daemon_set.metadata.deletionTimestamp:
            return None
        selector = daemon_set.spec.selector
        if not selector.matchLabels and not selector.matchExpressions:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self.events.event(daemon_set, "Warning", "SelectingAll", text)
            return None
        pods = await self.claim(daemon_set)
        history = await History.of(self.client, daemon_set, self.revisions)
        newest, collisions = await history.sync(daemon_set, daemon_set.status.collisionCount or 0)
        pods = await self._merge_duplicates(history, newest, pods)
        revision = Revision(newest.metadata.labels[HASH_LABEL], daemon_set.spec.minReadySeconds or 0, self.clock.now())
        where = self._places(daemon_set, pods)
        wait = self.expectations.wait(key)
        error, again = None, wait or None
        if not wait:
            error, again = await self._advance(key, daemon_set, where, revision)
        await self._write_status(daemon_set, where, revision, collisions)
        await self._truncate(daemon_set, history, pods, newest)
        if error is not None:
            raise error
        return soonest(again, next_available(pods, revision.min_ready_seconds, revision.now))

    async def _merge_duplicates(self, history: History, newest: Any, pods: Sequence[Any]) -> list[Any]:
        """Somebody may have written a second revision of the same template: its pods are of the newest one too."""
        twins = [r for r in history.revisions if r.data == newest.data and r is not newest]
        hashes = {(r.metadata.labels or {}).get(HASH_LABEL) for r in twins}
        merged = []
        for pod in pods:
            if (pod.metadata.labels or {}).get(HASH_LABEL) in hashes - {None}:
                pod = types.copy(pod)
                pod.metadata.labels[HASH_LABEL] = newest.metadata.labels[HASH_LABEL]
                pod = await self.client.update(pod)
            merged.append(pod)
        for twin in twins:
            await history.forget(twin)
            history.revisions.remove(twin)
        return merged

    def _places(self, daemon_set: Any, pods: Sequence[Any]) -> list[Place]:
        """All nodes, and those that are gone but have pods still."""
        where = {}
        for node in self.nodes.list():
            should_run, may_stay = places(daemon_set, node)
            where[node.metadata.name] = Place(node.metadata.name, should_run, may_stay)
        for pod in sorted(pods, key=_standing):
            if is_finished(pod) and pod.metadata.deletionTimestamp:
                # It only waits to be forgotten; another may start beside it.
                continue
            name = node_of(pod)
            # A pod on a node that is gone is pod GC's; one that still waits for that node has no place any more.
            gone = Place(name, should_run=False, may_stay=bool(pod.spec.nodeName), exists=False)
            where.setdefault(name, gone).pods.append(pod)
        return list(where.values())

    async def _advance(
        self, key: Key, daemon_set: Any, where: Sequence[Place], revision: Revision
    ) -> tuple[Exception | None, float | None]:
        """Do what is next: (first error, seconds until a failed pod may be replaced)."""
        strategy = daemon_set.spec.updateStrategy
        surge, unavailable = limits(daemon_set, sum(place.should_run for place in where))
        rolling = strategy.type == "RollingUpdate"
        plan = manage(where, revision, surge if rolling else 0)
        failed, again = self._failed(daemon_set, plan.failed)
        plan.delete += failed + plan.succeeded
        for pod in plan.succeeded:
            text = f"Found succeeded daemon pod {_whereabouts(pod)}, will try to delete it"
            self.events.event(daemon_set, "Normal", "SucceededDaemonPod", text)
        if rolling and not plan.create and not plan.delete:
            plan = update(where, revision, surge, unavailable)
        return await self._carry_out(key, daemon_set, plan, revision.hash), again

    def _failed(self, daemon_set: Any, pods: Sequence[Any]) -> tuple[list[Any], float | None]:
        """Failed pods whose back-off is over, and the time until the next one's is."""
        due, waits, now = [], [], self.clock.monotonic()
        for pod in pods:
            key = (daemon_set.metadata.uid, node_of(pod))
            known = self._backoffs.get(key)
            if known is not None and now - known.since > 2 * BACKOFF_LIMIT:
                known = None
            left = known.since + known.seconds - now if known is not None else 0.0
            if left > 0:
                waits.append(left)
                continue
            seconds = min(known.seconds * 2, BACKOFF_LIMIT) if known is not None else BACKOFF_BASE
            self._backoffs[key] = _Backoff(seconds, now)
            text = f"Found failed daemon pod {_whereabouts(pod)}, will try to kill it"
            self.events.event(daemon_set, "Warning", "FailedDaemonPod", text)
            due.append(pod)
        return due, min(waits, default=None)

    async def _carry_out(self, key: Key, daemon_set: Any, plan: Plan, revision: str) -> Exception | None:
        create, delete = plan.create[:BURST], plan.delete[:BURST]
        if not create and not delete:
            return None
        self.expectations.expect(key, len(create), [pod.metadata.uid for pod in delete])
        refused = await self.create_pods(
            key, daemon_set, len(create), lambda index: new_pod(daemon_set, create[index], revision)
        )
        return refused or await self.delete_pods(key, daemon_set, delete)

    async def _write_status(self, daemon_set: Any, where: Sequence[Place], revision: Revision, collisions: int) -> None:
        status = types.copy(daemon_set.status)
        wanted = [place for place in where if place.should_run]
        # One pod counts for a node, though two may be there while one replaces the other.
        counting = [place.pods[0] for place in wanted if place.pods]
        status.desiredNumberScheduled = len(wanted)
        status.currentNumberScheduled = len(counting)
        status.numberMisscheduled = sum(bool(p.pods) and p.exists and not p.should_run for p in where)
        status.numberReady = sum(map(is_ready, counting))
        available = sum(map(revision.is_available, counting))
        status.numberAvailable = available or None
        status.numberUnavailable = (len(wanted) - available) or None
        status.updatedNumberScheduled = sum(map(revision.is_new, counting)) or None
        status.observedGeneration = daemon_set.metadata.generation
        status.collisionCount = collisions or daemon_set.status.collisionCount
        if status != daemon_set.status:
            changed = types.copy(daemon_set)
            changed.status = status
            await self.client.update_status(changed)

    async def _truncate(self, daemon_set: Any, history: History, pods: Sequence[Any], newest: Any) -> None:
        """Old revisions that pods still have count, but stay."""
        hashes = {(pod.metadata.labels or {}).get(HASH_LABEL) for pod in pods}
        live = {r.metadata.name for r in history.revisions if (r.metadata.labels or {}).get(HASH_LABEL) in hashes}
        live -= {newest.metadata.name}
        limit = daemon_set.spec.revisionHistoryLimit
        left = max(0, (10 if limit is None else limit) - len(live))
        await history.truncate(left, live | {newest.metadata.name})


def _standing(pod: Any) -> tuple[bool, str, str]:
    """Bound pods come first, and of these the oldest."""
    metadata = pod.metadata
    return not pod.spec.nodeName, metadata.creationTimestamp or "", metadata.name


def _whereabouts(pod: Any) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name} on node {node_of(pod)}"


def _concerns(old: Any, new: Any) -> bool:
    """Whether a node may be wanted or unwanted now; heartbeats change neither."""
    if old is None or new is None:
        return True
    return bool(old.metadata.labels != new.metadata.labels or old.spec.taints != new.spec.taints)
