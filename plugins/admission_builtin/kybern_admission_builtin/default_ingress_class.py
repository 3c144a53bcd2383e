"""DefaultIngressClass: an Ingress that names no class gets the one marked as default."""

from __future__ import annotations

from typing import Any

from kybern.api.kind import Kind
from kybern.api.time import parse_time
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup

__all__ = ["DefaultIngressClass"]

DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultIngressClass(Admission):
    """Fills in `spec.ingressClassName`."""

    name = "DefaultIngressClass"
    order = 230

    def __init__(self, classes: Lookup[Any]) -> None:
        self._classes = classes

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        ours = (kind.group, kind.kind) == ("networking.k8s.io", "Ingress")
        return ours and operation == "CREATE" and not subresource

    async def mutate(self, request: AdmissionRequest) -> None:
        ingress = request.object
        if ingress.spec.ingressClassName is not None or _ANNOTATION in (ingress.metadata.annotations or {}):
            return
        defaults = [c for c in self._classes.list() if (c.metadata.annotations or {}).get(DEFAULT) == "true"]
        if defaults:
            ingress.spec.ingressClassName = min(defaults, key=_newest_first).metadata.name


def _newest_first(ingress_class: Any) -> tuple[float, str]:
    created = ingress_class.metadata.creationTimestamp
    return (-parse_time(created) if created else 0.0, ingress_class.metadata.name)
