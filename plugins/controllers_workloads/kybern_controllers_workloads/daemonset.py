"""DaemonSet: one pod on every node that should have one.

`daemonset_nodes` knows which nodes those are, `daemonset_plan` decides what to do, `history` keeps the
revisions; this file does what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.reconcile.bursts import all_at_once, slow_start
from kybern.reconcile.expectations import Expectations
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import claim, controller_of, label_test
from kybern.reconcile.pods import is_ready, owner_index, ready_since
from kybern_controllers_workloads.daemonset_nodes import new_pod, node_of, places
from kybern_controllers_workloads.daemonset_plan import Place, Plan, Revision, limits, manage, update
from kybern_controllers_workloads.history import HASH_LABEL, History
from kybern_controllers_workloads.pod_writer import PodWriter, namespace_ends

BURST = 250
"""Pods created or deleted in one reconcile at most."""
BACKOFF_BASE, BACKOFF_LIMIT = 1.0, 900.0
"""Seconds between two replacements of a pod that keeps failing on a node."""


@attrs.define
class _Backoff:
    """Of one node of one set."""

    seconds: float
    since: float


class DaemonSetController(Controller):
    """Keeps DaemonSets."""

    name = "daemonset"

    def setup(self, context: Context) -> None:
        from kybern.api.apps import ControllerRevision, DaemonSet
        from kybern.api.core import Node, Pod

        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.writer = PodWriter(context.client, context.events)
        self.expectations = Expectations(context.clock)
        self._backoffs: dict[tuple[str, str], _Backoff] = {}
        self.sets = context.watch(DaemonSet)
        self.nodes = context.watch(Node, self._sets_moved_by, on=_concerns)
        self.pods = context.informer(Pod)
        self.pods.add_index("owner", owner_index)
        self.pods.on_change(self._pod_changed)
        self.revisions = context.informer(ControllerRevision)
        self.revisions.add_index("owner", owner_index)

    def _sets_moved_by(self, node: Any) -> Iterable[Key]:
        return [Key(s.metadata.namespace, s.metadata.name) for s in self.sets.list()]

    def _pod_changed(self, old: Any, new: Any) -> None:
        pod = new if new is not None else old
        keys = {key for p in (old, new) if p is not None for key in self._keys_of(p)}
        for key in sorted(keys):
            if new is None or new.metadata.deletionTimestamp:
                self.expectations.deleted(key, pod.metadata.uid)
            elif old is None:
                self.expectations.created(key)
            self.context.enqueue(key)

    def _keys_of(self, pod: Any) -> Iterable[Key]:
        reference, namespace = controller_of(pod), pod.metadata.namespace
        if reference is not None:
            return (Key(namespace, reference.name),) if reference.kind == "DaemonSet" else ()
        return [
            Key(namespace, s.metadata.name)
            for s in self.sets.list(namespace)
            if selectors.from_label_selector(s.spec.selector).matches(pod.metadata.labels)
        ]

    async def reconcile(self, key: Key) -> Result | None:
        daemon_set: Any = self.sets.get(key.name, key.namespace)
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
        pods = await self._claim(daemon_set)
        history = await History.of(self.client, daemon_set, self.revisions)
        newest, collisions = await history.sync(daemon_set, daemon_set.status.collisionCount or 0)
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
        return self._when_again(pods, revision, again)

    async def _claim(self, daemon_set: Any) -> list[Any]:
        metadata = daemon_set.metadata
        candidates = self.pods.by_index("owner", metadata.uid)
        orphans = self.pods.by_index("owner", f"orphans/{metadata.namespace}")
        return await claim(self.client, daemon_set, candidates + orphans, label_test(daemon_set.spec.selector))

    def _places(self, daemon_set: Any, pods: Sequence[Any]) -> list[Place]:
        """All nodes, and those that are gone but have pods still."""
        where = {}
        for node in self.nodes.list():
            should_run, may_stay = places(daemon_set, node)
            where[node.metadata.name] = Place(node.metadata.name, should_run, may_stay)
        for pod in sorted(pods, key=lambda p: (p.metadata.creationTimestamp or "", p.metadata.name)):
            name = node_of(pod)
            # A pod on a node that is gone is pod GC's; one that still waits for that node has no place any more.
            gone = Place(name, should_run=False, may_stay=bool(pod.spec.nodeName))
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
        ended, again = self._ended(daemon_set, plan.finished)
        plan.delete += ended
        if rolling and not plan.create and not plan.delete:
            plan = update(where, revision, surge, unavailable)
        return await self._carry_out(key, daemon_set, plan, revision.hash), again

    def _ended(self, daemon_set: Any, pods: Sequence[Any]) -> tuple[list[Any], float | None]:
        """Finished pods whose back-off is over, and the time until the next one's is."""
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
            self._tell_end(daemon_set, pod)
            due.append(pod)
        return due, min(waits, default=None)

    def _tell_end(self, daemon_set: Any, pod: Any) -> None:
        name = f"{pod.metadata.namespace}/{pod.metadata.name} on node {node_of(pod)}"
        if pod.status.phase == "Failed":
            text = f"Found failed daemon pod {name}, will try to kill it"
            self.events.event(daemon_set, "Warning", "FailedDaemonPod", text)
        else:
            text = f"Found succeeded daemon pod {name}, will try to delete it"
            self.events.event(daemon_set, "Normal", "SucceededDaemonPod", text)

    async def _carry_out(self, key: Key, daemon_set: Any, plan: Plan, revision: str) -> Exception | None:
        create, delete = plan.create[:BURST], plan.delete[:BURST]
        if not create and not delete:
            return None
        self.expectations.expect(key, len(create), [pod.metadata.uid for pod in delete])

        async def create_one(number: int) -> None:
            await self.writer.create(daemon_set, new_pod(daemon_set, create[number], revision))

        async def delete_one(pod: Any) -> None:
            try:
                await self.writer.delete(daemon_set, pod)
            except StatusError as error:
                self.expectations.deleted(key, pod.metadata.uid)
                if error.code not in (404, 409):
                    raise

        made, error = await slow_start(len(create), create_one)
        self.expectations.created(key, len(create) - made)
        errors = await all_at_once(delete, delete_one)
        if error is not None and not namespace_ends(error):
            errors.insert(0, error)
        return errors[0] if errors else None

    async def _write_status(self, daemon_set: Any, where: Sequence[Place], revision: Revision, collisions: int) -> None:
        status = types.copy(daemon_set.status)
        wanted = [place for place in where if place.should_run]
        serving = [p for place in wanted if (p := _serving(place, revision)) is not None]
        status.desiredNumberScheduled = len(wanted)
        status.currentNumberScheduled = len(serving)
        status.numberMisscheduled = sum(bool(_alive(place)) for place in where if not place.should_run)
        status.numberReady = sum(map(is_ready, serving))
        available = sum(map(revision.is_available, serving))
        status.numberAvailable = available or None
        status.numberUnavailable = (len(wanted) - available) or None
        status.updatedNumberScheduled = sum(map(revision.is_new, serving)) or None
        status.observedGeneration = daemon_set.metadata.generation
        status.collisionCount = collisions or daemon_set.status.collisionCount
        if status != daemon_set.status:
            changed = types.copy(daemon_set)
            changed.status = status
            await self.client.update_status(changed)

    async def _truncate(self, daemon_set: Any, history: History, pods: Sequence[Any], newest: Any) -> None:
        hashes = {(pod.metadata.labels or {}).get(HASH_LABEL) for pod in pods}
        live = {r.metadata.name for r in history.revisions if (r.metadata.labels or {}).get(HASH_LABEL) in hashes}
        limit = daemon_set.spec.revisionHistoryLimit
        await history.truncate(10 if limit is None else limit, live | {newest.metadata.name})

    def _when_again(self, pods: Sequence[Any], revision: Revision, again: float | None) -> Result | None:
        ends = [s + revision.min_ready_seconds - revision.now for pod in pods if (s := ready_since(pod)) is not None]
        waits = [seconds for seconds in ends if seconds > 0] + ([again] if again is not None else [])
        return Result(min(waits)) if waits else None


def _alive(place: Place) -> list[Any]:
    return [pod for pod in place.pods if pod.status.phase not in ("Succeeded", "Failed")]


def _serving(place: Place, revision: Revision) -> Any | None:
    """The pod that counts for a node: of several the newest revision's available one."""
    if not place.pods:
        return None
    return max(place.pods, key=lambda pod: (revision.is_available(pod), revision.is_new(pod)))


def _concerns(old: Any, new: Any) -> bool:
    """Whether a node may be wanted or unwanted now; heartbeats change neither."""
    if old is None or new is None:
        return True
    return bool(old.metadata.labels != new.metadata.labels or old.spec.taints != new.spec.taints)
