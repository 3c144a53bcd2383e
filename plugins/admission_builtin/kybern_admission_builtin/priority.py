"""Priority: turns a pod's priority class into the number and the preemption policy that the scheduler uses."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.refusal import forbidden

__all__ = ["Priority"]

_CLASS = "scheduling.k8s.io"
_BY_CLASS = (
    "must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name"
)


class Priority(Admission):
    """Resolves priority classes, and lets only one of them be the default."""

    name = "Priority"
    order = 80

    def __init__(self, classes: Lookup[Any]) -> None:
        self._classes = classes

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        if subresource or operation not in ("CREATE", "UPDATE"):
            return False
        return (kind.group, kind.kind) in (("", "Pod"), (_CLASS, "PriorityClass"))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.kind.kind != "Pod":
            return
        if request.operation == "UPDATE":
            _keep(request.object.spec, request.old.spec)
            return
        await self._resolve(request)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.kind != "PriorityClass" or not request.object.globalDefault:
            return
        if request.old is not None and request.old.globalDefault:
            return
        default = self._default()
        if default is not None and default.metadata.name != request.object.metadata.name:
            name = default.metadata.name
            why = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise forbidden(request, why)

    async def _resolve(self, request: AdmissionRequest) -> None:
        spec = request.object.spec
        wanted = self._default() if not spec.priorityClassName else await self._classes.get(spec.priorityClassName)
        if wanted is None and spec.priorityClassName:
            raise forbidden(request, f"no PriorityClass with name {spec.priorityClassName} was found")
        value, policy = 0, "PreemptLowerPriority"
        if wanted is not None:
            spec.priorityClassName = wanted.metadata.name
            value, policy = wanted.value or 0, wanted.preemptionPolicy or policy
        if spec.priority is not None and spec.priority != value:
            raise forbidden(request, f"the integer value of priority ({spec.priority}) {_BY_CLASS.format(value)}")
        if spec.preemptionPolicy and spec.preemptionPolicy != policy:
            shown = f"the string value of PreemptionPolicy ({spec.preemptionPolicy})"
            raise forbidden(request, f"{shown} {_BY_CLASS.format(policy)}")
        spec.priority, spec.preemptionPolicy = value, policy

    def _default(self) -> Any | None:
        """The default class; the one of the lowest value, should several have slipped in at once."""
        defaults = [c for c in self._classes.list() if c.globalDefault]
        return min(defaults, key=lambda c: (c.value or 0, c.metadata.name), default=None)


def _keep(new: Any, old: Any) -> None:
    """An update that leaves the computed fields out keeps them."""
    if new.priority is None:
        new.priority = old.priority
    if not new.preemptionPolicy:
        new.preemptionPolicy = old.preemptionPolicy
