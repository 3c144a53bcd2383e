"""RuntimeClass: a pod of a runtime class gets that class's overhead, node selector and tolerations."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.refusal import forbidden

__all__ = ["RuntimeClass"]


class RuntimeClass(Admission):
    """Merges what the class says into the pod."""

    name = "RuntimeClass"
    order = 190

    def __init__(self, classes: Lookup[Any]) -> None:
        self._classes = classes

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and not subresource and not kind.group and kind.kind == "Pod"

    async def mutate(self, request: AdmissionRequest) -> None:
        runtime_class = await self._find(request)
        if runtime_class is None:
            return
        spec = request.object.spec
        overhead = runtime_class.overhead.podFixed if runtime_class.overhead else None
        if overhead:
            if spec.overhead and spec.overhead != overhead:
                raise forbidden(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec.overhead = dict(overhead)
        if runtime_class.scheduling is not None:
            _schedule(request, runtime_class.scheduling)

    async def validate(self, request: AdmissionRequest) -> None:
        """The overhead is the class's business alone."""
        spec = request.object.spec
        runtime_class = await self._find(request)
        overhead = runtime_class.overhead.podFixed if runtime_class is not None and runtime_class.overhead else None
        if spec.overhead and not overhead:
            why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise forbidden(request, why)
        if (spec.overhead or None) != (overhead or None):
            raise forbidden(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")

    async def _find(self, request: AdmissionRequest) -> Any | None:
        name = request.object.spec.runtimeClassName
        if not name:
            return None
        runtime_class = await self._classes.get(name)
        if runtime_class is None:
            raise forbidden(request, f'pod rejected: RuntimeClass "{name}" not found')
        return runtime_class


def _schedule(request: AdmissionRequest, scheduling: Any) -> None:
    spec = request.object.spec
    wanted, own = scheduling.nodeSelector or {}, spec.nodeSelector or {}
    for key in sorted(wanted):
        if own.get(key, wanted[key]) != wanted[key]:
            what = f"{key} has been set with value {own[key]}"
            raise forbidden(request, f"conflict: {what}, runtimeClass requires {wanted[key]}")
    if wanted:
        spec.nodeSelector = {**own, **wanted}
    tolerations = spec.tolerations or []
    missing = [toleration for toleration in scheduling.tolerations or () if toleration not in tolerations]
    if missing:
        spec.tolerations = [*tolerations, *missing]
