"""StatefulSet: pods with a name, a number and storage of their own, started, updated and ended in order.

`statefulset_plan` decides the next steps from the pods, `statefulset_pods` knows what a pod and its
claims look like, `history` keeps the revisions; this file does what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.reconcile.bursts import slow_start
from kybern.reconcile.interface import Context, Key, Result
from kybern_controllers_workloads import statefulset_pods as identity
from kybern_controllers_workloads.history import History, template_of, watch_revisions
from kybern_controllers_workloads.pod_writer import namespace_ends
from kybern_controllers_workloads.pods_controller import PodsController, next_available, soonest
from kybern_controllers_workloads.statefulset_plan import Step, View, decide, is_well, partition, replicas_of, start_of

REVISION_HASH = "controller.kubernetes.io/hash"


@attrs.frozen
class Revisions:
    """From which templates pods are made now."""

    current: Any
    update: Any
    collisions: int


class ClaimError(Exception):
    """A pod's claim cannot be had now."""


class StatefulSetController(PodsController):
    """Keeps StatefulSets."""

    name = "statefulset"

    def setup(self, context: Context) -> None:
        from kybern.api.apps import StatefulSet
        from kybern.api.core import PersistentVolumeClaim

        self.kind = StatefulSet
        super().setup(context)
        self.revisions = watch_revisions(context)
        self.claims = context.informer(PersistentVolumeClaim)
        self.claims.on_change(self._claim_changed)

    def _claim_changed(self, old: Any, new: Any) -> None:
        """Where a claim goes, a pod may wait for its successor."""
        if new is None:
            for stateful_set in self.owners.list(old.metadata.namespace):
                if identity.is_claim_of(stateful_set, old):
                    self.context.enqueue(Key(old.metadata.namespace, stateful_set.metadata.name))

    async def reconcile(self, key: Key) -> Result | None:
        stateful_set: Any = self.owners.get(key.name, key.namespace)
        if stateful_set is None:
            self.expectations.forget(key)
            return None
        pods = await self.claim(stateful_set, lambda pod: identity.ordinal_of(stateful_set, pod) is not None)
        view = View.of(stateful_set, pods, self.clock.now())
        if stateful_set.metadata.deletionTimestamp:
            # The garbage collector ends its pods; all that is left is to tell how many there still are.
            await self._write_status(view, None)
            return None
        history = await History.of(self.client, stateful_set, self.revisions, REVISION_HASH)
        revisions = await self._revisions(stateful_set, history)
        wait = self.expectations.wait(key)
        error = None
        if not wait:
            error = await self._advance(key, view, revisions)
        # Told even when a step was refused.
        await self._write_status(view, revisions)
        await self._truncate(stateful_set, history, pods, revisions)
        if error is not None:
            raise error
        min_ready = stateful_set.spec.minReadySeconds or 0
        return soonest(wait, next_available(pods, min_ready, self.clock.now()))

    async def _revisions(self, stateful_set: Any, history: History) -> Revisions:
        status = stateful_set.status
        update, collisions = await history.sync(stateful_set, status.collisionCount or 0)
        current = history.by_name(status.currentRevision) or update
        return Revisions(current, update, collisions)

    async def _advance(self, key: Key, view: View, revisions: Revisions) -> Exception | None:
        """Do the next steps; the first error."""
        try:
            await self._keep_claims(view)
        except (StatusError, ClaimError) as refused:
            return None if namespace_ends(refused) else refused
        steps = [s for s in decide(view, revisions.update.metadata.name) if not self._waits(view.stateful_set, s)]
        gone = [s.pod.metadata.uid for s in steps if s.act == "delete"]
        self.expectations.expect(key, sum(s.act == "create" for s in steps), gone)
        done: set[int] = set()

        async def take(index: int) -> None:
            await self._take(view.stateful_set, revisions, steps[index])
            done.add(index)

        _, error = await slow_start(len(steps), take)
        for index, step in enumerate(steps):
            if index not in done:
                self._expect_no_more(key, step)
        return None if error is not None and namespace_ends(error) else error

    def _waits(self, stateful_set: Any, step: Step) -> bool:
        """A claim that is of an earlier pod of the name goes with it; the next pod gets a new one."""
        if step.act != "create" or not identity.claims_are_scaled(stateful_set):
            return False
        name = f"{stateful_set.metadata.name}-{step.ordinal}"
        return any(identity.is_of_pod(claim, name) for claim in self._known_claims(stateful_set, step.ordinal))

    def _expect_no_more(self, key: Key, step: Step) -> None:
        if step.act == "create":
            self.expectations.created(key)
        elif step.act == "delete":
            self.expectations.deleted(key, step.pod.metadata.uid)

    async def _take(self, stateful_set: Any, revisions: Revisions, step: Step) -> None:
        if step.act == "create":
            await self._create(stateful_set, revisions, step.ordinal)
        elif step.act == "delete":
            await self._delete(stateful_set, step.pod)
        else:
            await self._adjust(stateful_set, step)

    async def _create(self, stateful_set: Any, revisions: Revisions, ordinal: int) -> None:
        revision = _revision_for(stateful_set, revisions, ordinal)
        pod = identity.new_pod(stateful_set, template_of(revision), revision.metadata.name, ordinal)
        try:
            await self._create_claims(stateful_set, ordinal)
            await self.client.create(pod)
        except (StatusError, ClaimError) as error:
            if not namespace_ends(error) and getattr(error, "reason", "") != "AlreadyExists":
                self._tell(stateful_set, "create", pod, error)
            raise
        self._tell(stateful_set, "create", pod)

    def _known_claims(self, stateful_set: Any, ordinal: int) -> list[Any]:
        wanted = [claim.metadata for claim in identity.claims_of(stateful_set, ordinal)]
        known = (self.claims.get(metadata.name, metadata.namespace) for metadata in wanted)
        return [claim for claim in known if claim is not None]

    def _tell(self, stateful_set: Any, verb: str, pod: Any, error: Exception | None = None) -> None:
        text = f"{verb} Pod {pod.metadata.name} in StatefulSet {stateful_set.metadata.name}"
        self._tell_outcome(stateful_set, verb, f"{text} {'successful' if error is None else 'failed'}", error)

    def _tell_outcome(self, stateful_set: Any, verb: str, text: str, error: Exception | None) -> None:
        if error is None:
            self.events.event(stateful_set, "Normal", f"Successful{verb.title()}", text)
        else:
            self.events.event(stateful_set, "Warning", f"Failed{verb.title()}", f"{text} error: {error}")

    async def _adjust(self, stateful_set: Any, step: Step) -> None:
        try:
            await self._create_claims(stateful_set, step.ordinal)
            await self.client.update(identity.with_identity(step.pod, step.ordinal))
        except (StatusError, ClaimError) as error:
            self._tell(stateful_set, "update", step.pod, error)
            raise
        self._tell(stateful_set, "update", step.pod)

    async def _create_claims(self, stateful_set: Any, ordinal: int) -> None:
        """Those that are not there yet."""
        going = {c.metadata.name: c.metadata.deletionTimestamp for c in self._known_claims(stateful_set, ordinal)}
        for wanted in identity.claims_of(stateful_set, ordinal):
            name = wanted.metadata.name
            if going.get(name):
                raise ClaimError(f"pvc {name} is being deleted")
            if name not in going:
                await self._create_claim(stateful_set, wanted, f"{stateful_set.metadata.name}-{ordinal}")

    async def _create_claim(self, stateful_set: Any, wanted: Any, pod: str) -> None:
        name, whose = wanted.metadata.name, f"Pod {pod} in StatefulSet {stateful_set.metadata.name}"
        try:
            await self.client.create(wanted)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            if namespace_ends(error):
                raise
            self._tell_outcome(stateful_set, "create", f"create Claim {name} for {whose} failed", error)
            raise ClaimError(f"failed to create PVC {name}: {error}") from error
        self._tell_outcome(stateful_set, "create", f"create Claim {name} {whose} success", None)

    async def _delete(self, stateful_set: Any, pod: Any) -> None:
        metadata = pod.metadata
        try:
            await self.client.delete(type(pod), metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code == 404:
                self.expectations.deleted(Key(metadata.namespace, stateful_set.metadata.name), metadata.uid)
                return
            if error.code != 409:
                self._tell(stateful_set, "delete", pod, error)
            raise
        self._tell(stateful_set, "delete", pod)

    async def _keep_claims(self, view: View) -> None:
        """A pod that waits has its claims, even if somebody took one away; and claims have the owners that the
        retention policy asks for, before a pod is taken away."""
        stateful_set = view.stateful_set
        if not stateful_set.spec.volumeClaimTemplates:
            return
        for ordinal, pod in view.wanted.items():
            if pod is not None and pod.status.phase == "Pending" and not pod.metadata.deletionTimestamp:
                await self._create_claims(stateful_set, ordinal)
        condemned = {pod.metadata.uid for pod in view.condemned}
        for pod in view.pods:
            if pod.metadata.deletionTimestamp and pod.metadata.uid not in condemned:
                continue
            owner = identity.wanted_claim_owner(stateful_set, pod, pod.metadata.uid in condemned)
            for known in self._known_claims(stateful_set, identity.ordinal_of(stateful_set, pod) or 0):
                references = identity.claim_references(known, stateful_set, owner)
                if references is not None:
                    changed = types.copy(known)
                    changed.metadata.ownerReferences = references or None
                    await self.client.update(changed)

    async def _write_status(self, view: View, revisions: Revisions | None) -> None:
        """`revisions` None: as the status names them."""
        stateful_set = view.stateful_set
        status = types.copy(stateful_set.status)
        if revisions is not None:
            status.currentRevision, status.updateRevision = (
                revisions.current.metadata.name,
                revisions.update.metadata.name,
            )
            status.collisionCount = revisions.collisions
        staying = [identity.revision_of(pod) for pod in view.pods if not pod.metadata.deletionTimestamp]
        status.observedGeneration = stateful_set.metadata.generation
        status.replicas = len(view.pods)
        status.readyReplicas = sum(map(is_well, view.pods)) or None
        status.availableReplicas = sum(map(view.is_available, view.pods))
        status.currentReplicas = staying.count(status.currentRevision or "") or None
        status.updatedReplicas = staying.count(status.updateRevision or "") or None
        if _is_rolled_out(stateful_set, status):
            status.currentReplicas, status.currentRevision = status.updatedReplicas, status.updateRevision
        if status != stateful_set.status:
            changed = types.copy(stateful_set)
            changed.status = status
            await self.client.update_status(changed)

    async def _truncate(self, stateful_set: Any, history: History, pods: Sequence[Any], revisions: Revisions) -> None:
        live = {revisions.current.metadata.name, revisions.update.metadata.name, *map(identity.revision_of, pods)}
        limit = stateful_set.spec.revisionHistoryLimit
        await history.truncate(10 if limit is None else limit, live)


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
