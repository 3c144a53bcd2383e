"""A Client over a dictionary, for tests of controllers: no server, no wire, one call per write.

It keeps resource versions, generations, finalizers, status apart from spec, and graceful deletion
of pods that are on a node, and so is true enough for a controller's loop; it validates nothing. `actions`
tells what was asked as lines of a transcript, and `intercept` may refuse or break any request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, cast

import attrs
import msgspec

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.time import format_time
from kybern.client.interface import Client, Event, ObjectList, PatchType, Propagation
from kybern.clock import Clock

K = TypeVar("K")

__all__ = ["MemoryClient"]

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@attrs.define
class _Change:
    revision: int
    event: Event[Any]


class _Kind:
    """All objects of a kind, their history, and who follows it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Any] = {}
        self.encoded: dict[tuple[str, str], bytes] = {}
        self.history: list[_Change] = []
        self.compacted = 0
        self.changed = asyncio.Event()


class MemoryClient(Client):
    """See the module's docstring."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.actions: list[str] = []
        self.intercept: Callable[[str, type[Any], str, str], None] | None = None
        """Called with (verb, kind, namespace, name) before each write; what it raises the caller gets."""
        self.interrupt: Callable[[str, type[Any], str, str], None] | None = None
        """The same, after the write took place: the answer is lost."""
        self._kinds: dict[type[Any], _Kind] = {}
        self._revision = 0
        self._names = 0

    def all(self, kind: type[K]) -> list[K]:
        """All objects of a kind, oldest first."""
        return list(self._of(kind).objects.values())

    def mutated(self) -> list[str]:
        """Objects that somebody changed in place, which nobody may: everyone shares them."""
        return [
            f"{kind.__name__} {'/'.join(filter(None, key))}"
            for kind, store in self._kinds.items()
            for key, obj in store.objects.items()
            if store.encoded[key] != types.encode(obj)
        ]

    def state(self) -> dict[str, int]:
        """How many objects of each kind there are, Events left out."""
        counts = {kind.__name__: len(store.objects) for kind, store in self._kinds.items()}
        return {kind: count for kind, count in sorted(counts.items()) if count and kind != "Event"}

    def compact(self) -> None:
        """Forget history: a watch that is behind gets 410."""
        for kind in self._kinds.values():
            kind.compacted = self._revision
            kind.history.clear()

    async def get(self, kind: type[K], name: str, namespace: str = "", *, resource_version: str = "") -> K:
        return cast(K, self._existing(kind, name, namespace))

    async def list(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> ObjectList[K]:
        matches = _label_matcher(labels)
        found = [
            obj
            for (ns, _), obj in self._of(kind).objects.items()
            if (not namespace or ns == namespace) and matches(obj.metadata.labels)
        ]
        return ObjectList(found, str(self._revision))

    async def watch(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = True,
    ) -> AsyncIterator[Event[K]]:
        store = self._of(kind)
        revision = int(resource_version or self._revision)
        while True:
            if revision < store.compacted:
                raise StatusError.expired(f"too old resource version: {revision} ({store.compacted})")
            for change in [c for c in store.history if c.revision > revision]:
                revision = change.revision
                if not namespace or change.event.object.metadata.namespace == namespace:
                    yield change.event
            if not store.history or store.history[-1].revision <= revision:
                changed = store.changed
                await changed.wait()

    async def create(self, obj: K, *, dry_run: bool = False, field_manager: str = "") -> K:
        new: Any = types.copy(obj)
        metadata = new.metadata
        if not metadata.name:
            metadata.name = (metadata.generateName or "") + self._suffix()
        namespace = metadata.namespace or ""
        self._before("create", type(new), namespace, metadata.name)
        if (namespace, metadata.name) in self._of(type(new)).objects:
            raise StatusError.already_exists(*_resource(type(new)), metadata.name)
        self._names += 1
        metadata.uid = f"uid-{self._names}"
        metadata.creationTimestamp = format_time(self.clock.now())
        if hasattr(new, "spec"):
            metadata.generation = 1
        self._commit("ADDED", new)
        self._after("create", type(new), namespace, metadata.name)
        return cast(K, new)

    async def update(self, obj: K, *, subresource: str = "", dry_run: bool = False, field_manager: str = "") -> K:
        given: Any = obj
        metadata = given.metadata
        verb = f"update-{subresource}" if subresource else "update"
        self._before(verb, type(obj), metadata.namespace or "", metadata.name)
        old = self._existing(type(obj), metadata.name, metadata.namespace or "")
        if metadata.resourceVersion and metadata.resourceVersion != old.metadata.resourceVersion:
            raise StatusError.conflict(*_resource(type(obj)), metadata.name)
        self._replace(old, given, subresource)
        self._after(verb, type(obj), metadata.namespace or "", metadata.name)
        return cast(K, self._of(type(obj)).objects.get((metadata.namespace or "", metadata.name), given))

    async def patch(
        self,
        kind: type[K],
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool = False,
    ) -> K:
        verb = f"patch-{subresource}" if subresource else "patch"
        self._before(verb, kind, namespace, name)
        old = self._existing(kind, name, namespace)
        meant = patch.get("metadata", {}) if isinstance(patch, dict) else {}
        if any(meant.get(field) not in (None, getattr(old.metadata, field)) for field in ("uid", "resourceVersion")):
            raise StatusError.conflict(*_resource(kind), name)
        merged = _merge(types.to_plain(old), patch, type == "strategic")
        new: Any = types.from_plain(kind, merged)
        self._replace(old, new, subresource)
        self._after(verb, kind, namespace, name)
        return cast(K, self._of(kind).objects.get((namespace, name), new))

    async def delete(
        self,
        kind: type[K],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period: int | None = None,
        dry_run: bool = False,
    ) -> Any:
        how = f" {propagation}" if propagation else ""
        self._before("delete", kind, namespace, name, how)
        old = self._existing(kind, name, namespace)
        if (uid and uid != old.metadata.uid) or (resource_version and resource_version != old.metadata.resourceVersion):
            raise StatusError.conflict(*_resource(kind), name, "Precondition failed")
        self._delete(old, propagation, grace_period)
        self._after("delete", kind, namespace, name)
        return old

    async def delete_collection(
        self,
        kind: type[K],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        listed = await self.list(kind, namespace, labels=labels)
        for obj in cast(list[Any], listed.items):
            await self.delete(kind, obj.metadata.name, obj.metadata.namespace or "", propagation=propagation)

    async def create_subresource(self, kind: type[Any], name: str, namespace: str, subresource: str, body: Any) -> Any:
        self._before(f"create-{subresource}", kind, namespace, name)
        new = types.copy(self._existing(kind, name, namespace))
        if subresource == "binding":
            new.spec.nodeName = body.target.name
            self._replace(self._existing(kind, name, namespace), new, "")
            return {"kind": "Status", "status": "Success"}
        if subresource == "eviction":
            self._delete(self._existing(kind, name, namespace), None, None)
            return {"kind": "Status", "status": "Success"}
        raise StatusError.no_such_path()

    async def raw(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Aggregated discovery of the built-in kinds, and nothing else."""
        if path not in ("/api", "/apis"):
            return 404, b"{}"
        from kybern.api import registry

        groups = [_group(kind) for kind in registry.builtin() if bool(kind.group) == (path == "/apis")]
        return 200, msgspec.json.encode({"kind": "APIGroupDiscoveryList", "items": groups})

    def remove(self, kind: type[Any], name: str, namespace: str = "") -> None:
        """Take an object away at once, whatever holds it (etcd lost it; the kubelet confirmed its end)."""
        old = self._of(kind).objects.pop((namespace, name))
        self._announce("DELETED", types.copy(old))

    def _of(self, kind: type[Any]) -> _Kind:
        return self._kinds.setdefault(kind, _Kind())

    def _existing(self, kind: type[Any], name: str, namespace: str) -> Any:
        obj = self._of(kind).objects.get((namespace, name))
        if obj is None:
            raise StatusError.not_found(*_resource(kind), name)
        return obj

    def _before(self, verb: str, kind: type[Any], namespace: str, name: str, how: str = "") -> None:
        if self.intercept:
            self.intercept(verb, kind, namespace, name)
        where = f"{namespace}/{name}" if namespace else name
        self.actions.append(f"{verb} {kind.__name__} {where}{how}")

    def _after(self, verb: str, kind: type[Any], namespace: str, name: str) -> None:
        if self.interrupt:
            self.interrupt(verb, kind, namespace, name)

    def _suffix(self) -> str:
        number, letters = self._names, []
        for _ in range(5):
            number, rest = divmod(number, len(_SUFFIX))
            letters.append(_SUFFIX[rest])
        return "".join(reversed(letters))

    def _replace(self, old: Any, given: Any, subresource: str) -> None:
        new = types.copy(given)
        if subresource == "finalize":
            spec, new = new.spec, types.copy(old)
            new.spec = spec
        elif subresource and hasattr(new, "status"):
            status, annotations, new = new.status, new.metadata.annotations, types.copy(old)
            new.status, new.metadata.annotations = status, annotations
        elif hasattr(new, "status"):
            new.status = types.copy(old).status
        kept, metadata = old.metadata, new.metadata
        metadata.uid, metadata.creationTimestamp = kept.uid, kept.creationTimestamp
        metadata.deletionTimestamp = kept.deletionTimestamp
        metadata.deletionGracePeriodSeconds = kept.deletionGracePeriodSeconds
        metadata.generation = kept.generation
        if getattr(new, "spec", None) != getattr(old, "spec", None):
            metadata.generation = (kept.generation or 0) + 1
        metadata.resourceVersion = kept.resourceVersion
        if types.encode(new) == types.encode(old):
            return
        if metadata.deletionTimestamp and not metadata.finalizers and not metadata.deletionGracePeriodSeconds:
            self.remove(type(old), metadata.name, metadata.namespace or "")
            return
        self._commit("MODIFIED", new)

    def _delete(self, old: Any, propagation: Propagation | None, grace_period: int | None) -> None:
        metadata = old.metadata
        finalizers = list(metadata.finalizers or ())
        added = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation or "")
        if added and added not in finalizers:
            finalizers.append(added)
        grace = self._grace(old, grace_period)
        if not finalizers and not grace:
            self.remove(type(old), metadata.name, metadata.namespace or "")
            return
        new = types.copy(old)
        new.metadata.finalizers = finalizers or None
        if not metadata.deletionTimestamp:
            new.metadata.deletionTimestamp = format_time(self.clock.now() + grace)
            new.metadata.deletionGracePeriodSeconds = grace
        if types.encode(new) != types.encode(old):
            self._commit("MODIFIED", new)

    def _grace(self, old: Any, grace_period: int | None) -> int:
        if type(old).__name__ != "Pod" or not old.spec.nodeName or grace_period == 0:
            return 0
        if old.status.phase in ("Succeeded", "Failed"):
            return 0
        return grace_period or old.spec.terminationGracePeriodSeconds or 30

    def _commit(self, event: Any, obj: Any) -> None:
        key = (obj.metadata.namespace or "", obj.metadata.name)
        self._of(type(obj)).objects[key] = obj
        self._announce(event, obj)
        self._of(type(obj)).encoded[key] = types.encode(obj)

    def _announce(self, event: Any, obj: Any) -> None:
        self._revision += 1
        obj.metadata.resourceVersion = str(self._revision)
        store = self._of(type(obj))
        store.history.append(_Change(self._revision, Event(event, obj)))
        changed, store.changed = store.changed, asyncio.Event()
        changed.set()


def _group(kind: Kind) -> dict[str, Any]:
    scope = "Namespaced" if kind.namespaced else "Cluster"
    resource = {
        "resource": kind.plural, "scope": scope, "verbs": list(kind.verbs), "responseKind": {"kind": kind.kind},
    }  # fmt: skip
    return {"metadata": {"name": kind.group}, "versions": [{"version": kind.version, "resources": [resource]}]}


def _resource(kind: type[Any]) -> tuple[str, str]:
    """Plural and group, for error messages; any Struct class will do here, served or not."""
    try:
        served = types.kind_of(kind)
    except KeyError:
        return f"{kind.__name__.lower()}s", ""
    return served.plural, served.group


def _label_matcher(text: str) -> Callable[[Any], bool]:
    if not text:
        return lambda _: True
    from kybern.api import selectors

    return selectors.parse_labels(text).matches


def _merge(target: Any, patch: Any, strategic: bool) -> Any:
    """JSON merge patch, and of strategic merge the one list that controllers patch: ownerReferences, by uid."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif key == "ownerReferences" and strategic:
            merged[key] = _merge_owners(merged.get(key) or [], value)
        else:
            merged[key] = _merge(merged.get(key), value, strategic)
    return merged


def _merge_owners(owners: list[Any], patch: list[Any]) -> list[Any]:
    by_uid = {owner["uid"]: owner for owner in owners}
    for entry in patch:
        if entry.get("$patch") == "delete":
            by_uid.pop(entry["uid"], None)
        else:
            by_uid[entry["uid"]] = by_uid.get(entry["uid"], {}) | entry
    return list(by_uid.values())
