"""Approves the requests of nodes for their client certificates, when RBAC says the requester may have that done."""

from __future__ import annotations

from typing import Any

from kybern.api import types
from kybern.api.time import format_time
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern_controllers_cluster.csr_request import KUBELET_CLIENT, SIGNERS, condition, read_request

__all__ = ["CSRApprovingController"]

_MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}
_AGAIN = 60.0
"""Seconds until a requester without the right is asked about again: the binding may come later."""


class CSRApprovingController(Controller):
    """Approves kubelet client certificates."""

    name = "csr-approving"

    def setup(self, context: Context) -> None:
        from kybern.api.certificates import CertificateSigningRequest

        self.client, self.clock = context.client, context.clock
        self.requests = context.watch(CertificateSigningRequest, on=lambda _, new: new is not None)

    async def reconcile(self, key: Key) -> Result | None:
        csr = self.requests.get(key.name)
        if csr is None or csr.status.certificate or condition(csr, "Approved") or condition(csr, "Denied"):
            return None
        if csr.spec.signerName != KUBELET_CLIENT:
            return None
        asked = await read_request(csr)
        if SIGNERS[KUBELET_CLIENT](asked, csr.spec.usages or ()):
            return None
        own = csr.spec.username == asked.common_name
        for right in ("selfnodeclient", "nodeclient") if own else ("nodeclient",):
            if await self._may(csr, right):
                await self._approve(csr, _MESSAGES[right])
                return None
        return Result(requeue_after=_AGAIN)

    async def _may(self, csr: Any, right: str) -> bool:
        from kybern.api.authorization import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec

        attributes = ResourceAttributes(
            group="certificates.k8s.io", resource="certificatesigningrequests", verb="create", subresource=right
        )
        spec = SubjectAccessReviewSpec(
            user=csr.spec.username,
            uid=csr.spec.uid,
            groups=csr.spec.groups,
            extra=csr.spec.extra,
            resourceAttributes=attributes,
        )
        answer: Any = await self.client.create(SubjectAccessReview(spec=spec))
        return bool(answer.status.allowed)

    async def _approve(self, csr: Any, message: str) -> None:
        from kybern.api.certificates import CertificateSigningRequestCondition

        changed = types.copy(csr)
        now = format_time(self.clock.now())
        approved = CertificateSigningRequestCondition(
            type="Approved",
            status="True",
            reason="AutoApproved",
            message=message,
            lastUpdateTime=now,
            lastTransitionTime=now,
        )
        changed.status.conditions = [*(csr.status.conditions or ()), approved]
        await self.client.update(changed, subresource="approval")
