"""TaintNodesByCondition: a new node takes no pods until somebody has seen it ready."""

from __future__ import annotations

from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest

__all__ = ["TaintNodesByCondition"]

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Admission):
    """Adds the taint; the node lifecycle controller takes it away."""

    name = "TaintNodesByCondition"
    order = 60

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return kind.kind == "Node" and not kind.group and not subresource and operation == "CREATE"

    async def mutate(self, request: AdmissionRequest) -> None:
        from kybern.api.core import Taint

        taints = request.object.spec.taints or []
        if not any(taint.key == NOT_READY and taint.effect == "NoSchedule" for taint in taints):
            request.object.spec.taints = [*taints, Taint(key=NOT_READY, effect="NoSchedule")]
