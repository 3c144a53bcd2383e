"""The revisions of a StatefulSet's or DaemonSet's template, kept as ControllerRevisions.

`kubectl rollout history` and `undo` read and apply them: a revision's data is a strategic merge patch
that puts the template back.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs
import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.reconcile.interface import Context, Informer
from kybern.reconcile.owners import claim, controller_reference, label_test
from kybern.reconcile.pods import owner_index
from kybern_controllers_workloads.deployment_revisions import safe_hash

__all__ = ["HASH_LABEL", "History", "new_revision", "template_of", "watch_revisions"]

HASH_LABEL = "controller-revision-hash"
"""On pods: which revision they were made from."""


def template_patch(owner: Any) -> dict[str, Any]:
    """The patch that restores the owner's present template."""
    return {"spec": {"template": {"$patch": "replace", **types.to_plain(owner.spec.template)}}}


def template_of(revision: Any) -> Any:
    """The pod template that a revision stands for."""
    from kybern.api.core import PodTemplateSpec

    plain = {k: v for k, v in revision.data["spec"]["template"].items() if k != "$patch"}
    return types.from_plain(PodTemplateSpec, plain)


def watch_revisions(context: Context) -> Informer[Any]:
    """All ControllerRevisions, found by their owner."""
    from kybern.api.apps import ControllerRevision

    informer = context.informer(ControllerRevision)
    informer.add_index("owner", owner_index)
    return informer


def new_revision(owner: Any, number: int, collisions: int, hash_label: str = HASH_LABEL) -> Any:
    """A ControllerRevision of the owner's present template."""
    from kybern.api.apps import ControllerRevision
    from kybern.api.meta import ObjectMeta

    data = template_patch(owner)
    hashed = safe_hash(msgspec.json.encode(data), collisions)
    return ControllerRevision(
        metadata=ObjectMeta(
            name=f"{owner.metadata.name}-{hashed}",
            namespace=owner.metadata.namespace,
            labels={**(owner.spec.template.metadata.labels or {}), hash_label: hashed},
            annotations=dict(owner.metadata.annotations or {}) or None,
            ownerReferences=[controller_reference(owner)],
        ),
        data=data,
        revision=number,
    )


@attrs.define
class History:
    """The revisions of one owner, lowest number first."""

    client: Client
    revisions: list[Any]
    hash_label: str = HASH_LABEL
    """Where a revision carries the hash of its template."""

    def __attrs_post_init__(self) -> None:
        self.revisions.sort(key=lambda r: (r.revision or 0, r.metadata.creationTimestamp or "", r.metadata.name))

    @classmethod
    async def of(cls, client: Client, owner: Any, informer: Informer[Any], hash_label: str = HASH_LABEL) -> History:
        """The owner's revisions, with those that an earlier owner of its pods has left behind."""
        metadata = owner.metadata
        own = informer.by_index("owner", metadata.uid)
        orphans = informer.by_index("owner", f"orphans/{metadata.namespace}")
        return cls(client, await claim(client, owner, own + orphans, label_test(owner.spec.selector)), hash_label)

    def by_name(self, name: str | None) -> Any | None:
        """The revision of that name."""
        return next((r for r in self.revisions if r.metadata.name == name), None)

    async def sync(self, owner: Any, collisions: int) -> tuple[Any, int]:
        """The revision of the owner's present template, found, renumbered as the newest, or made; and the number of
        name collisions, which the owner's status must keep."""
        newest = (self.revisions[-1].revision or 0) if self.revisions else 0
        wanted = new_revision(owner, newest + 1, collisions, self.hash_label)
        equal = [r for r in self.revisions if r.data == wanted.data]
        if not equal:
            return await self._create(owner, wanted, collisions)
        found = equal[-1]
        if found is not self.revisions[-1]:
            changed = types.copy(found)
            changed.revision = newest + 1
            self.revisions.remove(found)
            found = await self.client.update(changed)
            self.revisions.append(found)
        return found, collisions

    async def _create(self, owner: Any, wanted: Any, collisions: int) -> tuple[Any, int]:
        while True:
            try:
                made = await self.client.create(wanted)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
                metadata = wanted.metadata
                taken: Any = await self.client.get(type(wanted), metadata.name, metadata.namespace)
                if taken.data == wanted.data:
                    return taken, collisions
                collisions += 1
                wanted = new_revision(owner, wanted.revision, collisions, self.hash_label)
            else:
                self.revisions.append(made)
                return made, collisions

    async def truncate(self, limit: int, live: Collection[str]) -> None:
        """Forget the oldest revisions beyond `limit` that are not `live` (named by a pod or by the status)."""
        unused = [r for r in self.revisions if r.metadata.name not in live]
        for revision in unused[: max(0, len(unused) - limit)]:
            await self.forget(revision)

    async def forget(self, revision: Any) -> None:
        """Delete one, which may be gone already."""
        metadata = revision.metadata
        try:
            await self.client.delete(type(revision), metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise
