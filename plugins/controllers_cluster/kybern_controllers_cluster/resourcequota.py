"""ResourceQuotas: counts what a namespace really uses, and gives back what was charged and is free again.

Admission raises `status.used` before an object is written; this controller recounts when objects
change. What it finds beyond the charge is added at once. A charge that it cannot find is taken back
only when nothing has been charged for a moment: its object may still be on the way to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from kybern.api import quantity, quota, types
from kybern.client.discovery import Resource, served
from kybern.client.framing import status_error
from kybern.reconcile.interface import Context, Controller, Informer, Key, Result

SETTLING = 0.25
"""Seconds in which changes of objects are gathered into one count."""
QUIET = 1.0
"""Seconds without a charge after which every charged object has been written or refused."""
RESYNC = 300.0
UNWATCHED = 30.0
"""Seconds between counts of objects that we have no type for and so do not follow."""


def decide(hard: Mapping[str, str] | None, status: Any, counted: Mapping[str, Fraction], quiet: bool) -> dict[str, str]:
    """The new `status.used`: what was counted, but no less than what is charged until all is quiet."""
    charged = status.used or {}
    used = {}
    for name in hard or ():
        amount = counted.get(name)
        if amount is None:
            continue
        before = charged.get(name)
        if before is not None and (quantity.parse(before) == amount or (not quiet and quantity.parse(before) > amount)):
            used[name] = before
        else:
            used[name] = quota.shown(name, amount)
    return used


def behind(used: Mapping[str, str], counted: Mapping[str, Fraction]) -> bool:
    """Whether more is charged than was counted."""
    return any(quantity.parse(amount) > counted[name] for name, amount in used.items())


class ResourceQuotaController(Controller):
    """Keeps the status of ResourceQuotas."""

    name = "resourcequota"
    event_source = "resourcequota-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.core import ResourceQuota

        self.context = context
        self.client, self.clock = context.client, context.clock
        self._charged_at: dict[Key, float] = {}
        self._due: set[Key] = set()
        self._served: dict[quota.Resource, Resource] = {}
        self._followed: dict[quota.Resource, Informer[Any]] = {}
        self.quotas = context.watch(ResourceQuota, on=_respecified)
        self.quotas.on_change(self._quota_changed)

    def _quota_changed(self, old: Any, new: Any) -> None:
        key = _key(new if new is not None else old)
        if new is None:
            self._charged_at.pop(key, None)
        elif _raised(old, new):
            self._charged_at[key] = self.clock.monotonic()
            self._soon(key)

    def _soon(self, key: Key) -> None:
        if key not in self._due:
            self._due.add(key)
            self.context.enqueue(key, SETTLING)

    async def reconcile(self, key: Key) -> Result | None:
        self._due.discard(key)
        found: Any = self.quotas.get(key.name, key.namespace)
        if found is None:
            return None
        counted, followed = await self._count(found)
        found = self.quotas.get(key.name, key.namespace)
        if found is None:
            return None
        left = self._charged_at.get(key, -QUIET) + QUIET - self.clock.monotonic()
        used = decide(found.spec.hard, found.status, counted, left <= 0)
        changed = types.copy(found)
        changed.status.hard = dict(found.spec.hard) if found.spec.hard else None
        changed.status.used = used or None
        if changed.status != found.status:
            await self.client.update_status(changed)
        if behind(used, counted):
            return Result(max(left, SETTLING))
        return Result(RESYNC if followed else UNWATCHED)

    async def _count(self, found: Any) -> tuple[dict[str, Fraction], bool]:
        """(what is used of each entry that can be counted, whether we shall hear of every change)."""
        hard = found.spec.hard or {}
        counted: dict[str, Fraction] = {}
        followed = True
        for resource in sorted(quota.resources_behind(hard)):
            entries = [name for name in hard if quota.resources_behind([name]) == {resource}]
            objects = await self._objects(resource)
            if objects is not None:
                counted |= _sum(found, resource, entries, objects.list(found.metadata.namespace), self.clock.now())
            elif resource in self._served:
                followed = False
                counted |= dict.fromkeys(entries, await self._number(resource, found.metadata.namespace))
        return counted, followed

    async def _objects(self, resource: quota.Resource) -> Informer[Any] | None:
        """The informer of a resource, followed from the first time it is asked for."""
        if resource not in self._followed and resource not in self._served:
            self._served = {(r.group, r.plural): r for r in await served(self.client) if r.namespaced}
        if resource not in self._followed:
            kind = self._served[resource].struct if resource in self._served else None
            if kind is None:
                return None
            self._followed[resource] = self.context.informer(kind)
            self._followed[resource].on_change(self._recounting(resource))
        await self._followed[resource].synced()
        return self._followed[resource]

    def _recounting(self, resource: quota.Resource) -> Callable[[Any, Any], None]:
        """A callback that has the quotas counted again which an object's change concerns."""

        def changed(old: Any, new: Any) -> None:
            obj = new if new is not None else old
            quotas: list[Any] = self.quotas.list(obj.metadata.namespace)
            if not quotas or (old is not None and new is not None and self._same(resource, old, new, quotas)):
                return
            for each in quotas:
                if resource in quota.resources_behind(each.spec.hard or ()):
                    self._soon(_key(each))

        return changed

    def _same(self, resource: quota.Resource, old: Any, new: Any, quotas: Iterable[Any]) -> bool:
        now = self.clock.now()
        if quota.usage(*resource, old, now) != quota.usage(*resource, new, now):
            return False
        return all(quota.matches(q, *resource, old) == quota.matches(q, *resource, new) for q in quotas)

    async def _number(self, resource: quota.Resource, namespace: str) -> Fraction:
        """How many objects there are, of a resource that we have no type for."""
        group, plural = resource
        version = self._served[resource].version
        prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
        code, body = await self.client.raw("GET", f"{prefix}/namespaces/{namespace}/{plural}?limit=1")
        if code >= 400:
            raise status_error(code, body)
        answer = msgspec.json.decode(body)
        rest = answer.get("metadata", {}).get("remainingItemCount") or 0
        return Fraction(len(answer.get("items") or ()) + rest)


def _sum(
    found: Any, resource: quota.Resource, entries: list[str], objects: Iterable[Any], now: float
) -> dict[str, Fraction]:
    total = dict.fromkeys(entries, Fraction(0))
    for obj in objects:
        if quota.matches(found, *resource, obj):
            used = quota.usage(*resource, obj, now)
            for name in entries:
                if name in used:
                    total[name] += used[name]
    return total


def _key(obj: Any) -> Key:
    return Key(obj.metadata.namespace, obj.metadata.name)


def _respecified(old: Any, new: Any) -> bool:
    return old is None or new is None or bool(old.spec != new.spec)


def _raised(old: Any, new: Any) -> bool:
    """Whether something was charged. What was charged before we came may be of a moment ago."""
    before = (old.status.used if old is not None else None) or {}
    after = new.status.used or {}
    return any(quantity.parse(amount) > quantity.parse(before.get(name, "0")) for name, amount in after.items())
