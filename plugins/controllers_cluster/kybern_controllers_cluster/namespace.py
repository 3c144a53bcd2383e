"""Namespaces that are being deleted: everything in them goes first, then the `kubernetes` finalizer.

Pods go before all else, so that nothing is taken from under a running container. What cannot be
deleted yet is told in the Namespace's conditions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import format_time, parse_time
from kybern.client.discovery import Resource, served
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern.reconcile.pods import is_finished

FINALIZER = "kubernetes"
FINALIZER_SECONDS = 15
"""How long other finalizers are expected to take."""
POD_SECONDS = 30


@attrs.define
class Remaining:
    """What is still in the namespace."""

    objects: Counter[str] = attrs.field(factory=Counter)
    """By resource, as in `pods.` (upstream writes the dot also without a group)."""
    finalizers: Counter[str] = attrs.field(factory=Counter)
    errors: list[str] = attrs.field(factory=list)
    seconds: int = 0
    """How long it may take until that is gone by itself."""
    undiscovered: str = ""
    """Why it is not known what there may be."""

    @property
    def nothing(self) -> bool:
        return not self.objects and not self.errors and not self.undiscovered

    def add(self, resource: Resource, objects: Sequence[Any], age: float) -> None:
        """Count the objects of a resource that are left `age` seconds after the deletion of their namespace. They
        have a reason to be: pods end gracefully, others have finalizers."""
        if not objects:
            return
        self.objects[f"{resource.plural}.{resource.group}"] = len(objects)
        for obj in objects:
            self.finalizers.update(obj.metadata.finalizers or ())
        grace = max(map(_grace, objects))
        held = any(obj.metadata.finalizers for obj in objects)
        expected = grace if grace > age else FINALIZER_SECONDS if held else 0
        if not expected:
            what = f"{resource.group}/{resource.version}, Resource={resource.plural}"
            namespace = objects[0].metadata.namespace
            self.errors.append(f"unexpected items still remain in namespace: {namespace} for gvr: {what}")
        self.seconds = max(self.seconds, expected)


def _grace(obj: Any) -> int:
    if type(obj).__name__ != "Pod" or is_finished(obj):
        return 0
    seconds = obj.spec.terminationGracePeriodSeconds
    return POD_SECONDS if seconds is None else int(seconds)


def conditions(old: Sequence[Any], remaining: Remaining, make: type[Any], now: str) -> list[Any]:
    """The Namespace's conditions. Those of trouble appear when there is some, and stay, turned to False, afterwards."""
    told = {c.type: c for c in old}
    for type_, (status, reason, message) in _findings(remaining).items():
        known = told.get(type_)
        if known is not None and (known.status, known.reason, known.message) == (status, reason, message):
            continue
        since = known.lastTransitionTime if known is not None and known.status == status else now
        told[type_] = make(type=type_, status=status, reason=reason, message=message, lastTransitionTime=since)
    return list(told.values())


def _findings(remaining: Remaining) -> dict[str, tuple[str, str, str]]:
    found = {
        "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered", "All resources successfully discovered"),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": ("False", "ContentRemoved", "All content successfully removed"),
        "NamespaceFinalizersRemaining": (
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    }
    if remaining.undiscovered:
        found["NamespaceDeletionDiscoveryFailure"] = ("True", "DiscoveryFailed", remaining.undiscovered)
    if remaining.errors:
        told = ", ".join(sorted(remaining.errors))
        text = f"Failed to delete all resource types, {len(remaining.errors)} remaining: {told}"
        found["NamespaceDeletionContentFailure"] = ("True", "ContentDeletionFailed", text)
    if remaining.objects:
        counts = [f"{name} has {count} resource instances" for name, count in sorted(remaining.objects.items())]
        text = f"Some resources are remaining: {', '.join(counts)}"
        found["NamespaceContentRemaining"] = ("True", "SomeResourcesRemain", text)
    if remaining.finalizers:
        counts = [f"{name} in {count} resource instances" for name, count in sorted(remaining.finalizers.items())]
        text = f"Some content in the namespace has finalizers remaining: {', '.join(counts)}"
        found["NamespaceFinalizersRemaining"] = ("True", "SomeFinalizersRemain", text)
    return found


class NamespaceController(Controller):
    """Empties and finalizes namespaces."""

    name = "namespace"
    workers = 10

    def setup(self, context: Context) -> None:
        from kybern.api.core import Namespace, Pod

        self.client, self.clock = context.client, context.clock
        self.namespaces = context.watch(Namespace, on=lambda old, new: new is not None and _is_ending(new))
        self.pods = context.watch(Pod, self._ending_namespace_of, on=lambda old, new: new is None)

    def _ending_namespace_of(self, pod: Any) -> Iterable[Key]:
        """The next step waits for the last pod."""
        namespace: Any = self.namespaces.get(pod.metadata.namespace)
        if namespace is None or not _is_ending(namespace) or self.pods.list(pod.metadata.namespace):
            return ()
        return (Key("", pod.metadata.namespace),)

    async def reconcile(self, key: Key) -> Result | None:
        namespace: Any = self.namespaces.get(key.name)
        if namespace is None or not _is_ending(namespace):
            return None
        age = self.clock.now() - parse_time(namespace.metadata.deletionTimestamp)
        remaining = await self._empty(key.name, age)
        namespace = await self._tell(namespace, remaining)
        if remaining.nothing:
            await self._finalize(namespace)
            return None
        problems = [*remaining.errors, *([remaining.undiscovered] if remaining.undiscovered else ())]
        if problems and not remaining.seconds:
            raise RuntimeError(f"namespace {key.name}: {'; '.join(problems)}")
        return Result(remaining.seconds // 2 + 1)

    async def _empty(self, namespace: str, age: float) -> Remaining:
        remaining = Remaining()
        try:
            resources = [r for r in await served(self.client) if r.namespaced and "delete" in r.verbs]
        except StatusError as error:
            remaining.undiscovered = str(error)
            return remaining
        pods = [r for r in resources if (r.group, r.plural) == ("", "pods")]
        for resource in pods:
            await self._delete_all(resource, namespace, remaining, age)
        if not remaining.nothing:
            return remaining
        for resource in resources:
            if resource not in pods:
                await self._delete_all(resource, namespace, remaining, age)
        return remaining

    async def _delete_all(self, resource: Resource, namespace: str, remaining: Remaining, age: float) -> None:
        struct = resource.struct
        if struct is None:
            return
        try:
            listed = await self.client.list(struct, namespace)
            if not listed.items:
                return
            if "deletecollection" in resource.verbs:
                await self.client.delete_collection(struct, namespace, propagation="Background")
            else:
                await self._delete_each(struct, listed.items)
            left = await self.client.list(struct, namespace)
        except StatusError as error:
            if error.code in (404, 405):
                return
            remaining.errors.append(str(error))
            return
        remaining.add(resource, left.items, age)

    async def _delete_each(self, struct: type[Any], objects: Sequence[Any]) -> None:
        for obj in objects:
            try:
                await self.client.delete(
                    struct, obj.metadata.name, obj.metadata.namespace, uid=obj.metadata.uid, propagation="Background"
                )
            except StatusError as error:
                if error.code != 404:
                    raise

    async def _tell(self, namespace: Any, remaining: Remaining) -> Any:
        from kybern.api.core import NamespaceCondition

        changed = types.copy(namespace)
        now = format_time(self.clock.now())
        changed.status.phase = "Terminating"
        changed.status.conditions = conditions(namespace.status.conditions or (), remaining, NamespaceCondition, now)
        return namespace if changed == namespace else await self.client.update_status(changed)

    async def _finalize(self, namespace: Any) -> None:
        changed = types.copy(namespace)
        changed.spec.finalizers = [f for f in namespace.spec.finalizers or () if f != FINALIZER] or None
        try:
            await self.client.update(changed, subresource="finalize")
        except StatusError as error:
            if error.code != 404:
                raise


def _is_ending(namespace: Any) -> bool:
    return bool(namespace.metadata.deletionTimestamp) and FINALIZER in (namespace.spec.finalizers or ())
