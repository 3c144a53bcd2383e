"""NamespaceLifecycle: nothing new in a namespace that is missing or going away; three namespaces stay for ever."""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.clock import Clock
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.refusal import forbidden

__all__ = ["NamespaceLifecycle"]

IMMORTAL = ("default", "kube-public", "kube-system")
_REVIEWS = "authorization.k8s.io"
_DOUBT = 30.0
"""Seconds after a namespace's deletion in which its cached state is not believed."""


class NamespaceLifecycle(Admission):
    """Guards namespaces."""

    name = "NamespaceLifecycle"
    order = 10

    def __init__(self, namespaces: Lookup[Any], clock: Clock) -> None:
        self._namespaces = namespaces
        self._clock = clock
        self._deleted: dict[str, float] = {}

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        if kind.kind == "Namespace" and not kind.group:
            return operation == "DELETE"
        # Asking what may be done in a namespace is no write to it.
        return kind.namespaced and operation in ("CREATE", "UPDATE") and kind.group != _REVIEWS

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.kind.kind == "Namespace":
            self._delete(request)
            return
        name = request.namespace
        namespace = await (self._namespaces.fresh(name) if self._doubtful(name) else self._namespaces.get(name))
        if namespace is None and name in IMMORTAL:
            return
        if namespace is None:
            raise StatusError.not_found("namespaces", "", name)
        if request.operation == "CREATE" and (namespace.status.phase or "") == "Terminating":
            raise _terminating(request)

    def _delete(self, request: AdmissionRequest) -> None:
        if request.name in IMMORTAL:
            raise forbidden(request, "this namespace may not be deleted")
        if not request.dry_run:
            self._deleted[request.name] = self._clock.monotonic() + _DOUBT

    def _doubtful(self, name: str) -> bool:
        if not self._deleted:
            return False
        now = self._clock.monotonic()
        for gone in [n for n, until in self._deleted.items() if until <= now]:
            del self._deleted[gone]
        return name in self._deleted


def _terminating(request: AdmissionRequest) -> StatusError:
    name = request.namespace
    error = forbidden(request, f"unable to create new content in namespace {name} because it is being terminated")
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {name} is being terminated",
        "field": "metadata.namespace",
    }
    error.details = {**(error.details or {}), "causes": [cause]}
    return error
