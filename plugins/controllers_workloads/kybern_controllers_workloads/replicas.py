"""Keeps a number of identical pods: the loop that ReplicaSet and ReplicationController share.

A reconcile claims the pods that its selector means, decides how many to create or which to delete,
does so, and writes the status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, ClassVar

import attrs

from kybern.api import types
from kybern.api.time import format_time
from kybern.reconcile.interface import Context, Key, Result
from kybern.reconcile.pods import deletion_order, is_finished, pod_from_template
from kybern_controllers_workloads.counting import Count, Known, count
from kybern_controllers_workloads.newest import Newest
from kybern_controllers_workloads.pods_controller import PodsController, next_available, soonest

BURST = 500
"""Pods created or deleted in one reconcile at most."""
SETTLING = 100e-6
"""Seconds a pod's change may wait per pod of the set: a set of 5,000 looks at its pods twice a second."""


@attrs.frozen
class Plan:
    """What to do about the pods."""

    create: int = 0
    delete: Sequence[Any] = ()


def decide(replicas: int, pods: Sequence[Any], neighbours: Callable[[], Iterable[Any]], now: float) -> Plan:
    """How to come from the active `pods` to `replicas`. `neighbours`: pods that should rather be spread apart."""
    surplus = len(pods) - replicas
    if surplus < 0:
        return Plan(create=min(-surplus, BURST))
    if surplus == 0:
        return Plan()
    count = min(surplus, BURST)
    chosen = pods if count == len(pods) else deletion_order(pods, neighbours(), now)
    return Plan(delete=chosen[:count])


def failure_condition(old: Sequence[Any], error: Exception | None, creating: bool, make: type[Any], now: float) -> Any:
    """The conditions with ReplicaFailure set, kept or taken away, as the last attempt went."""
    others = [c for c in old if c.type != "ReplicaFailure"]
    known = next((c for c in old if c.type == "ReplicaFailure"), None)
    if error is None:
        return others or None
    if known is not None:
        return list(old)
    failure = make(
        type="ReplicaFailure",
        status="True",
        reason="FailedCreate" if creating else "FailedDelete",
        message=str(error),
        lastTransitionTime=format_time(now),
    )
    return [*others, failure]


class ReplicasController(PodsController):
    """Subclasses say which kind it is and how its spec is read."""

    condition: type[Any]
    counts_terminating: ClassVar[bool] = False

    def neighbours(self, owner: Any) -> Iterable[Any]:
        """Pods of the same kin (those of the owner's siblings too)."""
        return self.pods.by_index("owner", owner.metadata.uid)

    def setup(self, context: Context) -> None:
        self._newest = Newest()
        self._known: dict[Key, Known] = {}
        super().setup(context)

    def is_news(self, old: Any, new: Any) -> bool:
        """Not so a status that is what we last found it should be."""
        return self._newest.is_news(old, new)

    def wake(self, key: Key, at_once: bool) -> None:
        """Many pods change at once when a large set starts; looking at all of them each time is quadratic."""
        owner: Any = self.owners.get(key.name, key.namespace)
        replicas = (owner.status.replicas or 0) if owner is not None else 0
        self.context.enqueue(key, SETTLING * replicas if replicas > 50 and not at_once else 0.0)

    async def reconcile(self, key: Key) -> Result | None:
        owner: Any = self.owners.get(key.name, key.namespace)
        if owner is None:
            self.expectations.forget(key)
            self._newest.forget(key)
            self._known.pop(key, None)
            return None
        generation = owner.metadata.generation
        known = self._known.get(key, Known()).of(generation)
        pods = await self.claim(owner, lambda pod: not is_finished(pod), known)
        now, min_ready = self.clock.now(), owner.spec.minReadySeconds or 0
        counted = count(pods, owner.spec.template.metadata.labels or {}, min_ready, now, known)
        self._known[key] = Known(generation, counted.judged)
        wait = self.expectations.wait(key)
        plan, error = Plan(), None
        if not wait and not owner.metadata.deletionTimestamp:
            plan = decide(owner.spec.replicas or 0, counted.active, lambda: self.neighbours(owner), now)
            error = await self._carry_out(key, owner, plan)
        await self._write_status(owner, counted, plan, error)
        if error is not None:
            raise error
        return soonest(wait, next_available(pods, min_ready, self.clock.now()) if min_ready else None)

    async def _carry_out(self, key: Key, owner: Any, plan: Plan) -> Exception | None:
        if plan.create:
            self.expectations.expect(key, creations=plan.create)
            template = owner.spec.template
            return await self.create_pods(key, owner, plan.create, lambda _: pod_from_template(owner, template))
        if plan.delete:
            self.expectations.expect(key, deletions=[pod.metadata.uid for pod in plan.delete])
            return await self.delete_pods(key, owner, plan.delete)
        return None

    async def _write_status(self, owner: Any, counted: Count, plan: Plan, error: Exception | None) -> None:
        status = types.copy(owner.status)
        status.replicas = len(counted.active)
        status.fullyLabeledReplicas = counted.fully_labeled or None
        status.readyReplicas = counted.ready or None
        status.availableReplicas = counted.available or None
        status.observedGeneration = owner.metadata.generation
        if self.counts_terminating:
            status.terminatingReplicas = counted.terminating
        old, now = status.conditions or [], self.clock.now()
        status.conditions = failure_condition(old, error, bool(plan.create), self.condition, now)
        self._newest.writes(Key(owner.metadata.namespace, owner.metadata.name), status)
        if status != owner.status:
            changed = copy(owner)
            changed.status = status
            await self.client.update_status(changed)
