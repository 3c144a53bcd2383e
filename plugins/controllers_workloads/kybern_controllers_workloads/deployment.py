"""Deployment: replaces the pods of one template by those of another, one ReplicaSet per template.

A reconcile finds the ReplicaSets that are the Deployment's, makes the new one if need be, takes one
step of the rollout (`deployment_scaling` says which) and writes the status (`deployment_status`).
The ReplicaSets' changes bring it back for the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.owners import claim, controller_of, is_controlled_by
from kybern.reconcile.pods import is_finished, owner_index
from kybern_controllers_workloads import deployment_revisions as revisions
from kybern_controllers_workloads import deployment_scaling as scaling
from kybern_controllers_workloads import deployment_status as progress
from kybern_controllers_workloads.deployment_scaling import Size, limits, replicas_of
from kybern_controllers_workloads.pod_writer import namespace_ends


class DeploymentController(Controller):
    """Rolling update, recreate, pause, history, progress."""

    name = "deployment"

    def setup(self, context: Context) -> None:
        from kybern.api.apps import Deployment, ReplicaSet
        from kybern.api.core import Pod

        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.kind, self.replica_set = Deployment, ReplicaSet
        self.deployments = context.watch(Deployment)
        self.sets = context.watch(ReplicaSet, self._deployments_of)
        self.sets.add_index("owner", owner_index)
        self.pods = context.watch(Pod, self._deployment_of_pod, on=_is_removal)
        self.pods.add_index("owner", owner_index)

    def _deployments_of(self, rs: Any) -> Iterable[Key]:
        namespace, reference = rs.metadata.namespace, controller_of(rs)
        if reference is not None:
            return (Key(namespace, reference.name),) if reference.kind == "Deployment" else ()
        return [
            Key(namespace, d.metadata.name)
            for d in self.deployments.list(namespace)
            if selectors.from_label_selector(d.spec.selector).matches(rs.metadata.labels)
        ]

    def _deployment_of_pod(self, pod: Any) -> Iterable[Key]:
        """Recreate waits for the last old pod to be gone."""
        reference = controller_of(pod)
        if reference is None or reference.kind != "ReplicaSet":
            return ()
        rs = self.sets.get(reference.name, pod.metadata.namespace)
        keys = self._deployments_of(rs) if rs is not None else ()
        return [key for key in keys if _recreates(self.deployments.get(key.name, key.namespace))]

    async def reconcile(self, key: Key) -> Result | None:
        deployment: Any = self.deployments.get(key.name, key.namespace)
        if deployment is None:
            return None
        selector = deployment.spec.selector
        if not selector.matchLabels and not selector.matchExpressions:
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self.events.event(deployment, "Warning", "SelectingAll", text)
            return None
        sets = await self._claim(deployment, selectors.from_label_selector(selector).matches)
        if deployment.metadata.deletionTimestamp:
            return await self._write_counts(deployment, revisions.find_new(deployment, sets), sets)
        deployment = await self._note_pause(deployment)
        if deployment.spec.paused or self._is_scaled(deployment, sets):
            return await self._rescale(deployment, sets)
        if deployment.spec.strategy.type == "Recreate":
            return await self._recreate(deployment, sets)
        return await self._roll(deployment, sets)

    async def _claim(self, deployment: Any, matches: Any) -> list[Any]:
        metadata = deployment.metadata
        candidates = self.sets.by_index("owner", metadata.uid)
        orphans = self.sets.by_index("owner", f"orphans/{metadata.namespace}")
        return await claim(self.client, deployment, candidates + orphans, matches)

    async def _note_pause(self, deployment: Any) -> Any:
        told = progress.pause_condition(deployment)
        if told is None:
            return deployment
        changed = types.copy(deployment)
        progress.set_condition(changed.status, "Progressing", "Unknown", *told, self.clock.now())
        return await self.client.update_status(changed)

    def _is_scaled(self, deployment: Any, sets: Sequence[Any]) -> bool:
        """Whether `spec.replicas` was changed since the ReplicaSets were last sized."""
        noted = [revisions.annotation_number(rs, scaling.DESIRED) for rs in sets if replicas_of(rs) and _is_sized(rs)]
        return any(number != replicas_of(deployment) for number in noted)

    async def _rescale(self, deployment: Any, sets: Sequence[Any]) -> None:
        deployment, new, old = await self._sync_revision(deployment, sets, create=False)
        sizes = scaling.proportional(deployment, new, old)
        resized = {rs.metadata.name: await self._resize(deployment, rs, size) for rs, size in sizes}
        if deployment.spec.paused:
            await self._forget_old(deployment, old)
        new = resized.get(new.metadata.name, new) if new is not None else None
        old = [resized.get(rs.metadata.name, rs) for rs in old]
        await self._write_counts(deployment, new, [*old, new] if new is not None else old)

    async def _roll(self, deployment: Any, sets: Sequence[Any]) -> Result | None:
        deployment, new, old = await self._sync_revision(deployment, sets, create=True)
        if new is None:
            return None
        size = scaling.rolling_up(deployment, new, [*old, new])
        if size != replicas_of(new):
            new = await self._resize(deployment, new, size)
            return await self._write_progress(deployment, new, old)
        down = scaling.rolling_down(deployment, new, [rs for rs in old if replicas_of(rs)])
        return await self._finish(deployment, new, await self._shrink(deployment, old, down), bool(down))

    async def _recreate(self, deployment: Any, sets: Sequence[Any]) -> Result | None:
        deployment, new, old = await self._sync_revision(deployment, sets, create=False)
        down = scaling.recreate_down(old)
        if down or self._old_pods_run(new, sets):
            return await self._write_progress(deployment, new, await self._shrink(deployment, old, down))
        if new is None:
            deployment, new, old = await self._sync_revision(deployment, sets, create=True)
            if new is None:
                return None
        if replicas_of(new) != replicas_of(deployment):
            new = await self._resize(deployment, new, replicas_of(deployment))
        return await self._finish(deployment, new, old, False)

    def _old_pods_run(self, new: Any, sets: Sequence[Any]) -> bool:
        old = [rs for rs in sets if rs is not new and (new is None or rs.metadata.uid != new.metadata.uid)]
        if any(rs.status.replicas for rs in old):
            return True
        return any(not is_finished(pod) for rs in old for pod in self.pods.by_index("owner", rs.metadata.uid))

    async def _shrink(self, deployment: Any, old: Sequence[Any], down: Sequence[Size]) -> list[Any]:
        shrunk = {rs.metadata.name: await self._resize(deployment, rs, size) for rs, size in down}
        return [shrunk.get(rs.metadata.name, rs) for rs in old]

    async def _finish(self, deployment: Any, new: Any, old: list[Any], moved: bool) -> Result | None:
        if not moved and progress.is_complete(deployment, deployment.status):
            await self._forget_old(deployment, old)
        return await self._write_progress(deployment, new, old)

    async def _sync_revision(
        self, deployment: Any, sets: Sequence[Any], *, create: bool
    ) -> tuple[Any, Any | None, list[Any]]:
        """The Deployment, its new ReplicaSet (made now if `create`) and the old ones, revision numbers in order."""
        new = revisions.find_new(deployment, sets)
        old = [rs for rs in sets if rs is not new]
        revision = max((revisions.revision_of(rs) for rs in old), default=0) + 1
        if new is not None:
            new = await self._adjust_new(deployment, new, revision)
            text = f'Found new replica set "{new.metadata.name}"'
            deployment = await self._note_new(deployment, new, "FoundNewReplicaSet", text, only_first=True)
        elif create:
            deployment, new = await self._create_new(deployment, old, revision)
        return deployment, new, old

    async def _adjust_new(self, deployment: Any, new: Any, revision: int) -> Any:
        changed = types.copy(new)
        revisions.annotate(deployment, changed, revision)
        changed.spec.minReadySeconds = deployment.spec.minReadySeconds
        return new if changed == new else await self.client.update(changed)

    async def _create_new(self, deployment: Any, old: Sequence[Any], revision: int) -> tuple[Any, Any | None]:
        new = revisions.new_replica_set(deployment)
        size = scaling.rolling_up(deployment, new, [*old, new])
        new.spec.replicas = size
        revisions.annotate(deployment, new, revision)
        self._note_sizes(deployment, new)
        name = new.metadata.name
        try:
            created = await self.client.create(new)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                return await self._creation_failed(deployment, name, error), None
            created = await self._taken_name(deployment, new)
        else:
            if size:
                text = f"Scaled up replica set {name} from 0 to {size}"
                self.events.event(deployment, "Normal", "ScalingReplicaSet", text)
        text = f'Created new replica set "{name}"'
        return await self._note_new(deployment, created, "NewReplicaSetCreated", text), created

    async def _taken_name(self, deployment: Any, new: Any) -> Any:
        """It is ours when our cache was behind; else the hash met another's, and the next try gets another hash."""
        found: Any = await self.client.get(self.replica_set, new.metadata.name, new.metadata.namespace)
        if is_controlled_by(found, deployment) and revisions.same_template(found.spec.template, new.spec.template):
            return found
        changed = types.copy(deployment)
        changed.status.collisionCount = (deployment.status.collisionCount or 0) + 1
        await self.client.update_status(changed)
        raise StatusError.conflict("replicasets", "apps", new.metadata.name, "the name is taken by another ReplicaSet")

    async def _creation_failed(self, deployment: Any, name: str, error: StatusError) -> Any:
        if namespace_ends(error):
            return deployment
        text = f'Failed to create new replica set "{name}": {error}'
        self.events.event(deployment, "Warning", "ReplicaSetCreateError", text)
        if progress.has_deadline(deployment):
            changed = types.copy(deployment)
            now = self.clock.now()
            progress.set_condition(changed.status, "Progressing", "False", "ReplicaSetCreateError", text, now)
            if changed != deployment:
                await self.client.update_status(changed)
        raise error

    async def _note_new(self, deployment: Any, new: Any, reason: str, text: str, *, only_first: bool = False) -> Any:
        """Say on the Deployment which revision it is at, and that it makes progress. By way of the status: there the
        annotation is no change of what its user wants, and its generation stays."""
        changed = types.copy(deployment)
        if revision := (new.metadata.annotations or {}).get(revisions.REVISION):
            changed.metadata.annotations = {**(deployment.metadata.annotations or {}), revisions.REVISION: revision}
        known = progress.condition(deployment.status, "Progressing")
        if progress.has_deadline(deployment) and not (only_first and known is not None):
            progress.set_condition(changed.status, "Progressing", "True", reason, text, self.clock.now())
        return deployment if changed == deployment else await self.client.update_status(changed)

    async def _resize(self, deployment: Any, rs: Any, size: int) -> Any:
        before = replicas_of(rs)
        changed = types.copy(rs)
        changed.spec.replicas = size
        self._note_sizes(deployment, changed)
        if changed == rs:
            return rs
        changed = await self.client.update(changed)
        if size != before:
            way = "up" if size > before else "down"
            text = f"Scaled {way} replica set {rs.metadata.name} from {before} to {size}"
            self.events.event(deployment, "Normal", "ScalingReplicaSet", text)
        return changed

    def _note_sizes(self, deployment: Any, rs: Any) -> None:
        """Remember what the sizing was made for, so that a change of `spec.replicas` is seen and shared fairly."""
        desired = replicas_of(deployment)
        rs.metadata.annotations = {
            **(rs.metadata.annotations or {}),
            scaling.DESIRED: str(desired),
            scaling.MAXIMUM: str(desired + limits(deployment).surge),
        }

    async def _forget_old(self, deployment: Any, old: Sequence[Any]) -> None:
        for rs in revisions.removable(deployment, old):
            metadata = rs.metadata
            try:
                await self.client.delete(type(rs), metadata.name, metadata.namespace, uid=metadata.uid)
            except StatusError as error:
                if error.code != 404:
                    raise

    async def _write_counts(self, deployment: Any, new: Any | None, sets: Sequence[Any]) -> None:
        status = progress.counted(deployment, new, sets, self.clock.now())
        await self._write(deployment, status)

    async def _write_progress(self, deployment: Any, new: Any | None, old: Sequence[Any]) -> Result | None:
        sets = [*old, new] if new is not None else list(old)
        now = self.clock.now()
        status = progress.rollout_status(deployment, new, sets, now)
        await self._write(deployment, status)
        after = progress.seconds_to_deadline(deployment, status, now)
        return None if after is None else Result(after)

    async def _write(self, deployment: Any, status: Any) -> None:
        if status == deployment.status:
            return
        changed = types.copy(deployment)
        changed.status = status
        await self.client.update_status(changed)


def _is_removal(old: Any, new: Any) -> bool:
    return new is None


def _is_sized(rs: Any) -> bool:
    return scaling.DESIRED in (rs.metadata.annotations or {})


def _recreates(deployment: Any) -> bool:
    return deployment is not None and deployment.spec.strategy.type == "Recreate"
