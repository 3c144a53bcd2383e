"""StatefulSet: pods with a name, a number and storage of their own, started, updated and ended in order.

`statefulset_plan` decides the next steps from the pods, `statefulset_pods` knows what a pod and its
claims look like, `history` keeps the revisions; this file does what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.reconcile.bursts import all_at_once
from kybern.reconcile.expectations import Expectations
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import claim, controller_of, label_test
from kybern.reconcile.pods import is_finished, is_ready, owner_index, ready_since
from kybern_controllers_workloads import statefulset_pods as identity
from kybern_controllers_workloads.history import History, template_of
from kybern_controllers_workloads.pod_writer import namespace_ends
from kybern_controllers_workloads.statefulset_plan import Step, View, decide, partition, replicas_of, start_of


@attrs.frozen
class Revisions:
    """From which templates pods are made now."""

    current: Any
    update: Any
    collisions: int


class StatefulSetController(Controller):
    """Keeps StatefulSets."""

    name = "statefulset"

    def setup(self, context: Context) -> None:
        from kybern.api.apps import ControllerRevision, StatefulSet
        from kybern.api.core import PersistentVolumeClaim, Pod

        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.expectations = Expectations(context.clock)
        self.claim_kind = PersistentVolumeClaim
        self.sets = context.watch(StatefulSet)
        self.pods = context.informer(Pod)
        self.pods.add_index("owner", owner_index)
        self.pods.on_change(self._pod_changed)
        self.revisions = context.informer(ControllerRevision)
        self.revisions.add_index("owner", owner_index)
        self.claims = context.informer(PersistentVolumeClaim)

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
            return (Key(namespace, reference.name),) if reference.kind == "StatefulSet" else ()
        return [
            Key(namespace, s.metadata.name)
            for s in self.sets.list(namespace)
            if selectors.from_label_selector(s.spec.selector).matches(pod.metadata.labels)
        ]

    async def reconcile(self, key: Key) -> Result | None:
        stateful_set: Any = self.sets.get(key.name, key.namespace)
        if stateful_set is None:
            self.expectations.forget(key)
            return None
        if stateful_set.metadata.deletionTimestamp:
            # The garbage collector ends its pods.
            return None
        pods = await self._claim(stateful_set)
        history = await History.of(self.client, stateful_set, self.revisions)
        revisions = await self._revisions(stateful_set, history)
        wait = self.expectations.wait(key)
        view = View.of(stateful_set, pods, self.clock.now())
        error = None
        if not wait:
            error = await self._advance(key, view, revisions)
        await self._write_status(view, revisions)
        await self._truncate(stateful_set, history, pods, revisions)
        if error is not None:
            raise error
        return self._when_again(view, wait)

    async def _claim(self, stateful_set: Any) -> list[Any]:
        metadata = stateful_set.metadata
        candidates = self.pods.by_index("owner", metadata.uid)
        orphans = [
            pod
            for pod in self.pods.by_index("owner", f"orphans/{metadata.namespace}")
            if identity.ordinal_of(stateful_set, pod) is not None
        ]
        return await claim(self.client, stateful_set, candidates + orphans, label_test(stateful_set.spec.selector))

    async def _revisions(self, stateful_set: Any, history: History) -> Revisions:
        status = stateful_set.status
        update, collisions = await history.sync(stateful_set, status.collisionCount or 0)
        current = history.by_name(status.currentRevision) or update
        return Revisions(current, update, collisions)

    async def _advance(self, key: Key, view: View, revisions: Revisions) -> Exception | None:
        """Do the next steps; the first error of several."""
        await self._keep_claims(view)
        steps = decide(view, revisions.update.metadata.name)
        if not steps:
            return None
        gone = [s.pod.metadata.uid for s in steps if s.act in ("delete", "recreate")]
        self.expectations.expect(key, sum(s.act == "create" for s in steps), gone)

        async def take(step: Step) -> None:
            await self._take(key, view.stateful_set, revisions, step)

        errors = await all_at_once(steps, take)
        return next((e for e in errors if not namespace_ends(e)), None)

    async def _take(self, key: Key, stateful_set: Any, revisions: Revisions, step: Step) -> None:
        if step.act == "create":
            try:
                await self._create(stateful_set, revisions, step.ordinal)
            except BaseException:
                self.expectations.created(key)
                raise
        elif step.act == "adjust":
            await self._create_claims(stateful_set, step.ordinal)
            await self.client.update(identity.with_identity(step.pod, step.ordinal))
        else:
            if step.act == "recreate":
                self._tell_recreation(stateful_set, step.pod)
            try:
                await self._delete(stateful_set, step.pod)
            except BaseException:
                self.expectations.deleted(key, step.pod.metadata.uid)
                raise

    async def _create(self, stateful_set: Any, revisions: Revisions, ordinal: int) -> None:
        revision = _revision_for(stateful_set, revisions, ordinal)
        pod = identity.new_pod(stateful_set, template_of(revision), revision.metadata.name, ordinal)
        told = f"Pod {pod.metadata.name} in StatefulSet {stateful_set.metadata.name}"
        try:
            await self._create_claims(stateful_set, ordinal)
            await self.client.create(pod)
        except StatusError as error:
            if not namespace_ends(error):
                text = f"create {told} failed error: {error}"
                self.events.event(stateful_set, "Warning", "FailedCreate", text)
            raise
        self.events.event(stateful_set, "Normal", "SuccessfulCreate", f"create {told} successful")

    async def _create_claims(self, stateful_set: Any, ordinal: int) -> None:
        for wanted in identity.claims_of(stateful_set, ordinal):
            metadata = wanted.metadata
            known: Any = self.claims.get(metadata.name, metadata.namespace)
            if known is not None:
                if known.metadata.deletionTimestamp:
                    raise StatusError.conflict("persistentvolumeclaims", "", metadata.name, "it is being deleted")
                continue
            try:
                await self.client.create(wanted)
            except StatusError as error:
                if error.reason == "AlreadyExists":
                    continue
                raise
            pod = f"{stateful_set.metadata.name}-{ordinal}"
            text = f"create Claim {metadata.name} Pod {pod} in StatefulSet {stateful_set.metadata.name} success"
            self.events.event(stateful_set, "Normal", "SuccessfulCreate", text)

    async def _delete(self, stateful_set: Any, pod: Any) -> None:
        metadata = pod.metadata
        told = f"delete Pod {metadata.name} in StatefulSet {stateful_set.metadata.name}"
        try:
            await self.client.delete(type(pod), metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code in (404, 409):
                self.expectations.deleted(Key(metadata.namespace, stateful_set.metadata.name), metadata.uid)
                return
            self.events.event(stateful_set, "Warning", "FailedDelete", f"{told} failed error: {error}")
            raise
        self.events.event(stateful_set, "Normal", "SuccessfulDelete", f"{told} successful")

    def _tell_recreation(self, stateful_set: Any, pod: Any) -> None:
        name = f"{stateful_set.metadata.namespace}/{stateful_set.metadata.name}"
        failed = pod.status.phase == "Failed"
        reason, what = ("RecreatingFailedPod", "failed") if failed else ("RecreatingTerminatedPod", "terminated")
        text = f"StatefulSet {name} is recreating {what} Pod {pod.metadata.name}"
        self.events.event(stateful_set, "Warning" if failed else "Normal", reason, text)

    async def _keep_claims(self, view: View) -> None:
        """Give the claims the owners that the retention policy asks for, before a pod is taken away."""
        stateful_set = view.stateful_set
        condemned = {pod.metadata.uid for pod in view.condemned}
        for pod in view.pods:
            ordinal = identity.ordinal_of(stateful_set, pod)
            owner = identity.wanted_claim_owner(stateful_set, pod, pod.metadata.uid in condemned)
            for template in stateful_set.spec.volumeClaimTemplates or ():
                name = identity.claim_name(stateful_set, template, ordinal or 0)
                known: Any = self.claims.get(name, stateful_set.metadata.namespace)
                references = identity.claim_references(known, stateful_set, owner) if known is not None else None
                if references is not None:
                    changed = types.copy(known)
                    changed.metadata.ownerReferences = references or None
                    await self.client.update(changed)

    async def _write_status(self, view: View, revisions: Revisions) -> None:
        stateful_set = view.stateful_set
        status = types.copy(stateful_set.status)
        alive = [pod for pod in view.pods if not is_finished(pod)]
        staying = [pod for pod in alive if not pod.metadata.deletionTimestamp]
        current, update = revisions.current.metadata.name, revisions.update.metadata.name
        by_revision = [identity.revision_of(pod) for pod in staying]
        status.observedGeneration = stateful_set.metadata.generation
        status.collisionCount = revisions.collisions
        status.replicas = len(view.pods)
        status.readyReplicas = sum(pod.status.phase == "Running" and is_ready(pod) for pod in alive) or None
        status.availableReplicas = sum(map(view.is_available, alive))
        status.currentReplicas = by_revision.count(current) or None
        status.updatedReplicas = by_revision.count(update) or None
        status.currentRevision, status.updateRevision = current, update
        if _is_rolled_out(stateful_set, status):
            status.currentReplicas, status.currentRevision = status.updatedReplicas, update
        if status != stateful_set.status:
            changed = types.copy(stateful_set)
            changed.status = status
            await self.client.update_status(changed)

    async def _truncate(self, stateful_set: Any, history: History, pods: Sequence[Any], revisions: Revisions) -> None:
        live = {revisions.current.metadata.name, revisions.update.metadata.name, *map(identity.revision_of, pods)}
        limit = stateful_set.spec.revisionHistoryLimit
        await history.truncate(10 if limit is None else limit, live)

    def _when_again(self, view: View, wait: float) -> Result | None:
        min_ready = view.stateful_set.spec.minReadySeconds or 0
        now = self.clock.now()
        soon = [s + min_ready - now for pod in view.pods if (s := ready_since(pod)) is not None and s + min_ready > now]
        waits = [*soon, wait] if wait else soon
        return Result(min(waits)) if waits else None


def _revision_for(stateful_set: Any, revisions: Revisions, ordinal: int) -> Any:
    """A pod that is made anew in mid-update gets the revision its ordinal is at."""
    strategy = stateful_set.spec.updateStrategy
    if strategy.type != "RollingUpdate":
        return revisions.update
    if strategy.rollingUpdate is not None:
        below = ordinal < start_of(stateful_set) + partition(stateful_set)
    else:
        below = ordinal < start_of(stateful_set) + (stateful_set.status.currentReplicas or 0)
    return revisions.current if below else revisions.update


def _is_rolled_out(stateful_set: Any, status: Any) -> bool:
    wanted = replicas_of(stateful_set)
    counts = (status.updatedReplicas or 0, status.readyReplicas or 0, status.replicas)
    return stateful_set.spec.updateStrategy.type == "RollingUpdate" and counts == (wanted, wanted, wanted)
