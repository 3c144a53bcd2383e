"""ResourceQuota: charges a namespace's quotas for what is about to be written, and refuses what they do not cover.

The last question before a write. The charge is made in the quota's status, by compare-and-swap, so
that two servers or two requests never spend the same room twice; the quota controller recounts
afterwards and gives back what was charged for a write that failed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from fractions import Fraction
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.quota import amounts, matches, shown, usage
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.client.interface import Client
from kybern.clock import Clock
from kybern.reconcile.interface import Informer
from kybern_admission_builtin.refusal import forbidden

__all__ = ["ResourceQuota"]

_FREE = frozenset({"authentication.k8s.io", "authorization.k8s.io", "events.k8s.io"})
_GROW = {("", "pods"): "resize", ("", "services"): "", ("", "persistentvolumeclaims"): ""}
"""Resources that may cost more after an update, and the subresource of that update."""
_SPECIFIED = ("cpu", "memory")
_TRIES = 10

Amounts = dict[str, Fraction]


class ResourceQuota(Admission):
    """Charges and refuses."""

    name = "ResourceQuota"
    order = 900

    def __init__(self, client: Client, quotas: Informer[Any], clock: Clock) -> None:
        self._client = client
        self._quotas = quotas
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._charged: dict[tuple[str, str], Any] = {}

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        if not kind.namespaced or kind.group in _FREE or (not kind.group and kind.kind == "Event"):
            return False
        if operation == "CREATE":
            return not subresource
        return operation == "UPDATE" and _GROW.get((kind.group, kind.plural)) == subresource

    async def validate(self, request: AdmissionRequest) -> None:
        namespace = request.namespace
        if not self._quotas.list(namespace):
            self._locks.pop(namespace, None)
            return
        cost = self._cost(request)
        if cost:
            async with self._locks[namespace]:
                await self._charge(request, cost)

    def _cost(self, request: AdmissionRequest) -> Amounts:
        """What the write adds, by quota entry."""
        now, kind = self._clock.now(), request.kind
        cost = usage(kind.group, kind.plural, request.object, now)
        if request.operation == "CREATE":
            return cost
        before = usage(kind.group, kind.plural, request.old, now)
        grown = {name: amount - before.get(name, Fraction(0)) for name, amount in cost.items()}
        return {name: amount for name, amount in grown.items() if amount > 0}

    async def _charge(self, request: AdmissionRequest, cost: Amounts) -> None:
        """All quotas must cover the cost before the first is charged."""
        quotas = [self._newest(quota) for quota in self._quotas.list(request.namespace)]
        quotas.sort(key=lambda quota: quota.metadata.name)
        due = [quota for quota in quotas if _spent(request, quota, cost) is not None]
        if not request.dry_run:
            for quota in due:
                await self._charge_one(request, quota, cost)

    async def _charge_one(self, request: AdmissionRequest, quota: Any, cost: Amounts) -> None:
        metadata = quota.metadata
        for _ in range(_TRIES):
            spent = _spent(request, quota, cost)
            if spent is None:
                return
            changed = types.copy(quota)
            changed.status.used = {**(changed.status.used or {}), **spent}
            try:
                self._charged[metadata.namespace, metadata.name] = await self._client.update_status(changed)
                return
            except StatusError as error:
                if error.code == 404:
                    return
                if error.code != 409:
                    raise
            quota = await self._client.get(type(quota), metadata.name, metadata.namespace)
        raise StatusError.too_many_requests("resource quota is changing too fast; please try again", 1)

    def _newest(self, known: Any) -> Any:
        """The quota as we last wrote it, until the informer has caught up."""
        metadata = known.metadata
        ours = self._charged.get((metadata.namespace, metadata.name))
        if ours is None:
            return known
        if int(ours.metadata.resourceVersion) > int(metadata.resourceVersion):
            return ours
        del self._charged[metadata.namespace, metadata.name]
        return known


def _spent(request: AdmissionRequest, quota: Any, cost: Amounts) -> dict[str, str] | None:
    """`used` after the charge, for the entries that change; None when this is not the quota's business."""
    kind = request.kind
    if not matches(quota, kind.group, kind.plural, request.object):
        return None
    hard = amounts(quota.status.hard or quota.spec.hard)
    if request.operation == "CREATE" and (kind.group, kind.kind) == ("", "Pod"):
        _check_specified(request, quota, hard)
    due = {name: amount for name, amount in cost.items() if name in hard and amount}
    if not due:
        return None
    used = amounts(quota.status.used)
    name = quota.metadata.name
    if unknown := sorted(due.keys() - used.keys()):
        raise forbidden(request, f"status unknown for quota: {name}, resources: {','.join(unknown)}")
    over = sorted(entry for entry, amount in due.items() if used[entry] + amount > hard[entry])
    if over:
        figures = {"requested": due, "used": used, "limited": hard}
        told = ", ".join(f"{word}: {_listed(over, figure)}" for word, figure in figures.items())
        raise forbidden(request, f"exceeded quota: {name}, {told}")
    return {entry: shown(entry, used[entry] + amount) for entry, amount in due.items()}


def _listed(names: list[str], figures: Amounts) -> str:
    return ",".join(f"{name}={shown(name, figures[name])}" for name in names)


def _check_specified(request: AdmissionRequest, quota: Any, hard: Amounts) -> None:
    """A quota on computing resources counts what containers say, so they must say it; or the pod says it for them."""
    missing: dict[str, list[str]] = {}
    spec = request.object.spec
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        return
    for entry in hard:
        field, _, resource = entry.rpartition(".")
        if resource not in _SPECIFIED or field not in ("", "requests", "limits"):
            continue
        for container in (*(spec.containers or ()), *(spec.initContainers or ())):
            given = container.resources.limits if field == "limits" else container.resources.requests
            if resource not in (given or {}):
                missing.setdefault(entry, []).append(container.name)
    if missing:
        told = "; ".join(f"{entry} for: {','.join(sorted(names))}" for entry, names in sorted(missing.items()))
        raise forbidden(request, f"failed quota: {quota.metadata.name}: must specify {told}")
