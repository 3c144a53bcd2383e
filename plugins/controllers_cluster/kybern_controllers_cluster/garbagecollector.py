"""The garbage collector: deletes what no owner holds any more.

It follows every kind there is and keeps two maps: the objects by uid, and who depends on whom. An
object whose owners are all gone is deleted (background); an owner that is deleted in the foreground
waits for the dependents that block it; an orphaning owner lets go of its dependents first. That an
owner is gone is believed when the watch has told so, or when the server, asked, does not know it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.discovery import Resource, served
from kybern.reconcile.interface import Context, Controller, Key

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
IGNORED = {("", "events"), ("events.k8s.io", "events")}
ABSENT_REMEMBERED = 500
RETRY_DISCOVERY = 30.0


@attrs.define
class Owners:
    """The owner references of an object, by what is known of the owners."""

    solid: list[Any] = attrs.field(factory=list)
    """There, and not waiting for us."""
    gone: list[Any] = attrs.field(factory=list)
    waiting: list[Any] = attrs.field(factory=list)
    """Being deleted in the foreground."""


class Graph:
    """Objects by uid, and their dependents."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def dependents(self, uid: str) -> list[Any]:
        """The known objects that name the uid as an owner."""
        return [self.objects[d] for d in self._dependents.get(uid, ()) if d in self.objects]

    def has_dependents(self, uid: str) -> bool:
        return uid in self._dependents

    def change(self, old: Any | None, new: Any | None) -> None:
        """An object was added, changed or removed."""
        metadata = (new if new is not None else old).metadata
        if new is not None:
            self.objects[metadata.uid] = new
        else:
            self.objects.pop(metadata.uid, None)
        before = old.metadata.ownerReferences if old is not None else None
        after = new.metadata.ownerReferences if new is not None else None
        if before == after:
            return
        for reference in before or ():
            self._unlink(reference.uid, metadata.uid)
        for reference in after or ():
            self._dependents.setdefault(reference.uid, {})[metadata.uid] = None

    def _unlink(self, owner: str, uid: str) -> None:
        known = self._dependents.get(owner)
        if known is not None:
            known.pop(uid, None)
            if not known:
                del self._dependents[owner]


def is_deleted_in_foreground(obj: Any) -> bool:
    """Whether the object waits for its dependents to go."""
    return bool(obj.metadata.deletionTimestamp) and FOREGROUND in (obj.metadata.finalizers or ())


def is_orphaning(obj: Any) -> bool:
    """Whether the object is being deleted and its dependents shall stay."""
    return bool(obj.metadata.deletionTimestamp) and ORPHAN in (obj.metadata.finalizers or ())


def blockers(owner: Any, dependents: Iterable[Any]) -> list[Any]:
    """The dependents that the owner's foreground deletion waits for."""
    uid = owner.metadata.uid
    return [
        d for d in dependents if any(r.uid == uid and r.blockOwnerDeletion for r in d.metadata.ownerReferences or ())
    ]


class GarbageCollector(Controller):
    """Keys are uids."""

    name = "garbagecollector"
    event_source = "garbage-collector-controller"
    workers = 20

    def setup(self, context: Context) -> None:
        self.context = context
        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.graph = Graph()
        self.kinds: dict[tuple[str, str], Resource] = {}
        self._followed: set[type[Any]] = set()
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._ready = asyncio.Event()
        self._resources_changed = asyncio.Event()

    async def run(self) -> None:
        """Follow every kind; again when resources come or go."""
        while True:
            self._resources_changed.clear()
            try:
                await self._follow_all()
            except StatusError:
                await self.clock.sleep(RETRY_DISCOVERY)
                continue
            self._ready.set()
            await self._resources_changed.wait()

    async def _follow_all(self) -> None:
        resources = [r for r in await served(self.client) if (r.group, r.plural) not in IGNORED]
        self.kinds = {(r.group, r.kind): r for r in resources}
        followed = {"watch", "delete"}
        structs = [r.struct for r in resources if followed <= r.verbs]
        informers = [self._follow(struct) for struct in structs if struct is not None]
        for informer in informers:
            await informer.synced()

    def _follow(self, struct: type[Any]) -> Any:
        informer = self.context.informer(struct)
        if struct not in self._followed:
            self._followed.add(struct)
            informer.on_change(self._changed)
            if struct.__name__ in ("CustomResourceDefinition", "APIService"):
                informer.on_change(self._resource_changed)
        return informer

    def _resource_changed(self, old: Any, new: Any) -> None:
        if self._ready.is_set():
            self._resources_changed.set()

    def _changed(self, old: Any, new: Any) -> None:
        self.graph.change(old, new)
        if new is None:
            self._removed(old)
            return
        references = new.metadata.ownerReferences
        if references and (old is None or old.metadata.ownerReferences != references):
            self._refer(new, references, () if old is None else old.metadata.ownerReferences or ())
        if is_orphaning(new):
            self._wake(new.metadata.uid)
        elif is_deleted_in_foreground(new):
            self._wake(new.metadata.uid)
            self._wake_all(self.graph.dependents(new.metadata.uid))

    def _removed(self, old: Any) -> None:
        uid = old.metadata.uid
        if self.graph.has_dependents(uid):
            self._remember_absent(uid, old.metadata.namespace or "")
            self._wake_all(self.graph.dependents(uid))
        self._wake_waiting(old.metadata.ownerReferences or ())

    def _refer(self, obj: Any, references: Sequence[Any], before: Sequence[Any]) -> None:
        """Owner references were added or changed: an unknown owner must be asked for, and one that waited for
        the object to let it go must look again."""
        namespace = obj.metadata.namespace or ""
        owners = [(r, self.graph.objects.get(r.uid)) for r in references]
        if any(o is None or not _is_meant(o, r, namespace) or is_deleted_in_foreground(o) for r, o in owners):
            self._wake(obj.metadata.uid)
        self._wake_waiting(before)

    def _waits(self, uid: str) -> bool:
        owner = self.graph.objects.get(uid)
        return owner is not None and is_deleted_in_foreground(owner)

    def _wake_waiting(self, references: Iterable[Any]) -> None:
        for reference in references:
            if self._waits(reference.uid):
                self._wake(reference.uid)

    def _wake(self, uid: str) -> None:
        self.context.enqueue(Key("", uid))

    def _wake_all(self, objects: Iterable[Any]) -> None:
        for obj in objects:
            self._wake(obj.metadata.uid)

    async def reconcile(self, key: Key) -> None:
        # Until every kind is listed an owner may merely not have been seen yet.
        await self._ready.wait()
        obj = self.graph.objects.get(key.name)
        if obj is None:
            return
        if is_orphaning(obj):
            await self._orphan(obj)
        elif is_deleted_in_foreground(obj):
            await self._finish_foreground(obj)
        elif not obj.metadata.deletionTimestamp and obj.metadata.ownerReferences:
            await self._judge(obj)

    async def _orphan(self, owner: Any) -> None:
        for dependent in self.graph.dependents(owner.metadata.uid):
            await self._drop_owners(dependent, {owner.metadata.uid})
        await self._drop_finalizer(owner, ORPHAN)

    async def _finish_foreground(self, owner: Any) -> None:
        dependents = self.graph.dependents(owner.metadata.uid)
        blocking = blockers(owner, dependents)
        if not blocking:
            await self._drop_finalizer(owner, FOREGROUND)
            return
        self._wake_all(d for d in blocking if not is_deleted_in_foreground(d))

    async def _judge(self, obj: Any) -> None:
        owners = await self._classify(obj)
        if owners.solid:
            if owners.gone or owners.waiting:
                await self._drop_owners(obj, {r.uid for r in (*owners.gone, *owners.waiting)})
            return
        dependents = self.graph.dependents(obj.metadata.uid)
        if owners.waiting and dependents:
            if any(is_deleted_in_foreground(d) for d in dependents):
                # A circle of owners that all wait for each other: this one does not block.
                await self._unblock(obj)
            await self._delete(obj, "Foreground")
            return
        finalizers = obj.metadata.finalizers or ()
        policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
        await self._delete(obj, policy)

    async def _classify(self, obj: Any) -> Owners:
        owners = Owners()
        for reference in obj.metadata.ownerReferences:
            owner = await self._find_owner(obj, reference)
            if owner is None:
                owners.gone.append(reference)
            elif owner is not True and is_deleted_in_foreground(owner):
                owners.waiting.append(reference)
            else:
                owners.solid.append(reference)
        return owners

    async def _find_owner(self, obj: Any, reference: Any) -> Any:
        """The owner; None: surely gone; True: there is no way to tell, so it counts as there."""
        namespace = obj.metadata.namespace or ""
        known = self.graph.objects.get(reference.uid)
        if known is not None and _is_meant(known, reference, namespace):
            return known
        if (reference.uid, namespace) in self._absent or (reference.uid, "") in self._absent:
            return None
        resource = self.kinds.get((reference.apiVersion.rpartition("/")[0], reference.kind))
        if resource is None or resource.struct is None:
            return True
        if resource.namespaced and not namespace:
            self._warn(obj, reference)
            return True
        owner = await self._ask(resource, reference, namespace if resource.namespaced else "")
        if owner is None:
            self._remember_absent(reference.uid, namespace)
            if known is not None and known.metadata.namespace not in (None, "", namespace):
                self._warn(obj, reference)
        return owner

    async def _ask(self, resource: Resource, reference: Any, namespace: str) -> Any | None:
        assert resource.struct is not None
        try:
            owner: Any = await self.client.get(resource.struct, reference.name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return owner if owner.metadata.uid == reference.uid else None

    def _remember_absent(self, uid: str, namespace: str) -> None:
        self._absent[(uid, namespace)] = None
        if len(self._absent) > ABSENT_REMEMBERED:
            self._absent.popitem(last=False)

    def _warn(self, obj: Any, reference: Any) -> None:
        namespace = obj.metadata.namespace or ""
        kind, name, uid = f"{reference.apiVersion}/{reference.kind}", reference.name, reference.uid
        shown = f"[{kind}, namespace: {namespace}, name: {name}, uid: {uid}]"
        text = f'ownerRef {shown} does not exist in namespace "{namespace}"'
        self.events.event(obj, "Warning", "OwnerRefInvalidNamespace", text)

    async def _delete(self, obj: Any, propagation: Any) -> None:
        metadata = obj.metadata
        try:
            # The version as a precondition: owners may have been added since.
            await self.client.delete(
                type(obj),
                metadata.name,
                metadata.namespace or "",
                uid=metadata.uid,
                resource_version=metadata.resourceVersion,
                propagation=propagation,
            )
        except StatusError as error:
            if error.code == 404:
                return
            if error.code == 409 and await self._is_other(obj):
                return
            raise

    async def _is_other(self, obj: Any) -> bool:
        """Whether the name belongs to another object by now, so that ours is gone."""
        metadata = obj.metadata
        try:
            found: Any = await self.client.get(type(obj), metadata.name, metadata.namespace or "")
        except StatusError as error:
            if error.code == 404:
                return True
            raise
        return bool(found.metadata.uid != metadata.uid)

    async def _drop_owners(self, obj: Any, uids: set[str]) -> None:
        kept = [types.to_plain(r) for r in obj.metadata.ownerReferences or () if r.uid not in uids]
        await self._patch(obj, {"ownerReferences": kept or None})

    async def _unblock(self, obj: Any) -> None:
        references = [types.to_plain(r) | {"blockOwnerDeletion": False} for r in obj.metadata.ownerReferences or ()]
        await self._patch(obj, {"ownerReferences": references})

    async def _drop_finalizer(self, obj: Any, finalizer: str) -> None:
        left = [f for f in obj.metadata.finalizers or () if f != finalizer]
        await self._patch(obj, {"finalizers": left or None})

    async def _patch(self, obj: Any, changes: dict[str, Any]) -> None:
        metadata = obj.metadata
        known = {"uid": metadata.uid, "resourceVersion": metadata.resourceVersion}
        try:
            patch = {"metadata": {**known, **changes}}
            await self.client.patch(type(obj), metadata.name, metadata.namespace or "", patch)
        except StatusError as error:
            if error.code != 404:
                raise


def _is_meant(owner: Any, reference: Any, namespace: str) -> bool:
    """Whether the object with the reference's uid is also what the reference says, from where it is said."""
    metadata = owner.metadata
    group = owner.apiVersion.rpartition("/")[0]
    same = (group, owner.kind, metadata.name) == (
        reference.apiVersion.rpartition("/")[0],
        reference.kind,
        reference.name,
    )
    return same and (metadata.namespace or "") in ("", namespace)
