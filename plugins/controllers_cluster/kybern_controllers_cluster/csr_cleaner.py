"""Removes certificate requests that have served: an hour after their issue or refusal, a day after nobody cared."""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.cluster.certificate import pem_to_der, read_certificate
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern_controllers_cluster.csr_request import condition

__all__ = ["CSRCleanerController", "ends"]

ISSUED = DENIED = FAILED = 3600.0
PENDING = APPROVED = 24 * 3600.0


class CSRCleanerController(Controller):
    """Deletes old requests."""

    name = "csr-cleaner"

    def setup(self, context: Context) -> None:
        from kybern.api.certificates import CertificateSigningRequest

        self.client, self.clock = context.client, context.clock
        self.kind = CertificateSigningRequest
        self.requests = context.watch(CertificateSigningRequest, on=lambda _, new: new is not None)

    async def reconcile(self, key: Key) -> Result | None:
        csr = self.requests.get(key.name)
        if csr is None:
            return None
        left = ends(csr) - self.clock.now()
        if left > 0:
            return Result(requeue_after=left)
        try:
            await self.client.delete(self.kind, key.name, uid=csr.metadata.uid or "")
        except StatusError as error:
            if error.code != 404:
                raise
        return None


def ends(csr: Any) -> float:
    """When nobody needs the request any more, in seconds since the epoch."""
    created = parse_time(csr.metadata.creationTimestamp) if csr.metadata.creationTimestamp else 0.0
    times = [created + PENDING if not csr.status.conditions else float("inf")]
    approved = condition(csr, "Approved")
    kept = ISSUED if csr.status.certificate else APPROVED
    for present, after in ((approved, kept), (condition(csr, "Denied"), DENIED), (condition(csr, "Failed"), FAILED)):
        if present is not None:
            times.append((parse_time(present.lastUpdateTime) if present.lastUpdateTime else created) + after)
    if approved is not None and csr.status.certificate:
        times.append(read_certificate(pem_to_der(csr.status.certificate)).not_after)
    return min(times)
