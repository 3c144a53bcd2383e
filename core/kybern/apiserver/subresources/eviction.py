"""eviction: delete a pod if its disruption budget allows it (KEP-85; `kubectl drain`)."""

from __future__ import annotations

from typing import Any

import attrs

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.apiserver import body
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import plain, success
from kybern.apiserver.handlers import operation
from kybern.apiserver.operation import Operation
from kybern.apiserver.options import write_options
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer
from kybern.apiserver.verbs.delete import DeleteOptions, check_preconditions, delete
from kybern.store.cache import Item
from kybern.store.interface import CompareFailed

__all__ = ["Evictions"]

_TRIES = 10
_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_NEVER_COUNTED = ("Succeeded", "Failed", "Pending")
_MOST_DISRUPTED = 2000


class Evictions:
    """POST of an Eviction."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer one request."""
        options = write_options(request.query, "CreateOptions")
        eviction = await body.read_object(request, types.struct("policy", "v1", "Eviction"), options.field_validation)
        op = operation(request, options.dry_run, options.field_manager)
        if eviction.metadata.name != op.name:
            raise StatusError.bad_request("name in URL does not match name in Eviction object")
        await self._evict(resource, op, eviction)
        return plain(201, success() | {"code": 201})

    async def _evict(self, pods: Resource, op: Operation, eviction: Any) -> None:
        item = pods.item(op.namespace, op.name)
        await self._backend.admission.mutate("CREATE", pods.kind, op, eviction, None)
        await self._backend.admission.validate("CREATE", pods.kind, op, eviction, None)
        asked = eviction.deleteOptions
        op.dry_run = op.dry_run or bool(asked is not None and asked.dryRun)
        options = _delete_options(asked)
        check_preconditions(pods, op, options, item)
        if not _ignores_budgets(item.object):
            budget = await self._budget_of(item.object)
            if budget is not None:
                await self._spend(budget, item.object, op)
        if not op.dry_run:
            options = await self._note(pods, op, options)
        op.subresource = ""
        await delete(self._backend, pods, op, options)

    async def _budget_of(self, pod: Any) -> Item | None:
        resource = self._backend.resources.named("poddisruptionbudgets", "policy")
        listing = await resource.cache.list(pod.metadata.namespace)
        found = [
            item for item in listing.items
            if selectors.from_label_selector(item.object.spec.selector).matches(pod.metadata.labels)
        ]  # fmt: skip
        if len(found) > 1:
            raise StatusError(500, "", _SEVERAL)
        return found[0] if found else None

    async def _spend(self, budget: Item, pod: Any, op: Operation) -> None:
        """Take one from the disruptions that the budget allows; StatusError 429 when there is none."""
        resource = self._backend.resources.named("poddisruptionbudgets", "policy")
        namespace, name = budget.object.metadata.namespace, budget.object.metadata.name
        for left in reversed(range(_TRIES)):
            item = resource.item(namespace, name)
            if _unhealthy_may_go(item.object, pod):
                return
            spent = _spent(item.object, pod.metadata.name, op.now)
            if op.dry_run:
                return
            try:
                await resource.cache.update(spent, item.revision)
                return
            except CompareFailed:
                if not left:
                    text = f'couldn\'t update PodDisruptionBudget "{name}" due to conflicts'
                    raise StatusError(504, "Timeout", f"Timeout: {text}", {"retryAfterSeconds": 10}) from None

    async def _note(self, pods: Resource, op: Operation, options: DeleteOptions) -> DeleteOptions:
        """Say on the pod why it goes, as far as nobody else changes it right now. The options are then about the pod
        with that note."""
        item = pods.item(op.namespace, op.name)
        if item.object.metadata.deletionTimestamp:
            return options
        pod = types.copy(item.object)
        condition = types.struct("", "v1", "PodCondition")(
            type="DisruptionTarget", status="True", reason="EvictionByEvictionAPI", message="Eviction API: evicting",
            lastTransitionTime=format_time(op.now), observedGeneration=pod.metadata.generation,
        )  # fmt: skip
        pod.status.conditions = [c for c in pod.status.conditions or () if c.type != "DisruptionTarget"] + [condition]
        try:
            noted = await pods.cache.update(pod, item.revision)
        except CompareFailed:
            return options
        return attrs.evolve(options, resource_version=options.resource_version and str(noted.revision))


def _delete_options(asked: Any) -> DeleteOptions:
    if asked is None:
        return DeleteOptions()
    preconditions = asked.preconditions
    return DeleteOptions(
        asked.gracePeriodSeconds,
        preconditions.uid if preconditions else None,
        preconditions.resourceVersion if preconditions else None,
        asked.propagationPolicy,
        asked.orphanDependents,
    )


def _ignores_budgets(pod: Any) -> bool:
    return bool(pod.metadata.deletionTimestamp) or pod.status.phase in _NEVER_COUNTED


def _is_ready(pod: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


def _unhealthy_may_go(budget: Any, pod: Any) -> bool:
    """A pod that is not ready costs nothing when the policy says so, or when enough others are healthy."""
    if _is_ready(pod):
        return False
    if budget.spec.unhealthyPodEvictionPolicy == "AlwaysAllow":
        return True
    desired = budget.status.desiredHealthy or 0
    return desired > 0 and (budget.status.currentHealthy or 0) >= desired


def _refused(message: str, retry_after: int = 0) -> StatusError:
    """429. Without a time to retry after, kubectl drain tells of it and tries again by itself."""
    error = StatusError.too_many_requests(_VIOLATION, retry_after)
    error.details = {**(error.details or {}), "causes": [{"reason": "DisruptionBudget", "message": message}]}
    return error


def _spent(budget: Any, pod: str, now: float) -> Any:
    """The budget with one disruption less."""
    status, name = budget.status, budget.metadata.name
    if (status.observedGeneration or 0) < (budget.metadata.generation or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", 10)
    if (status.disruptionsAllowed or 0) < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(status.disruptedPods or ()) > _MOST_DISRUPTED:
        raise _forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if not status.disruptionsAllowed:
        raise _refused(_why_none(budget))
    new = types.copy(budget)
    new.status.disruptionsAllowed -= 1
    new.status.disruptedPods = {**(new.status.disruptedPods or {}), pod: format_time(now)}
    allowed = _allowed_condition(new)
    if allowed is not None and not new.status.disruptionsAllowed:
        allowed.status, allowed.reason, allowed.lastTransitionTime = "False", "InsufficientPods", format_time(now)
    return new


def _allowed_condition(budget: Any) -> Any | None:
    return next((c for c in budget.status.conditions or () if c.type == "DisruptionAllowed"), None)


def _why_none(budget: Any) -> str:
    status, name, allowed = budget.status, budget.metadata.name, _allowed_condition(budget)
    if allowed is not None and allowed.reason == "SyncFailed":
        why = f"does not allow evicting pods currently because it failed sync: {allowed.message}"
    else:
        why = f"needs {status.desiredHealthy or 0} healthy pods and has {status.currentHealthy or 0} currently"
    return f"The disruption budget {name} {why}"


def _forbidden(name: str, why: str) -> StatusError:
    return StatusError.forbidden("poddisruptionbudget", "policy", name, why)
