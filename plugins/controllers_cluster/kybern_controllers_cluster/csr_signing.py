"""Signs approved certificate requests of the built-in signers with the cluster's CA."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kybern.api import types
from kybern.api.time import format_time
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern_controllers_cluster.csr_request import SIGNERS, condition, read_request

if TYPE_CHECKING:
    from kybern.cluster.pki import PKI

__all__ = ["CSRSigningController"]

LONGEST = 365 * 86400
SHORTEST = 600


class CSRSigningController(Controller):
    """Issues certificates."""

    name = "csr-signing"

    def __init__(self, pki: PKI) -> None:
        self._pki = pki

    def setup(self, context: Context) -> None:
        from kybern.api.certificates import CertificateSigningRequest

        self.client, self.clock = context.client, context.clock
        self.requests = context.watch(CertificateSigningRequest, on=lambda _, new: new is not None)

    async def reconcile(self, key: Key) -> Result | None:
        csr = self.requests.get(key.name)
        if csr is None or csr.status.certificate or csr.spec.signerName not in SIGNERS:
            return None
        if not condition(csr, "Approved") or condition(csr, "Denied") or condition(csr, "Failed"):
            return None
        changed = types.copy(csr)
        usages = list(csr.spec.usages or ())
        problem = await self._sign(changed, usages)
        if problem:
            self._fail(changed, problem)
        await self.client.update_status(changed)
        return None

    async def _sign(self, csr: Any, usages: list[str]) -> str:
        """Put the certificate into the status; returns what forbids it."""
        try:
            problem = SIGNERS[csr.spec.signerName](await read_request(csr), usages)
            if problem:
                return problem
            lifetime = float(_lifetime(csr))
            csr.status.certificate = await asyncio.to_thread(self._pki.sign, csr.spec.request, usages, lifetime)
        except ValueError as error:
            return str(error)
        return ""

    def _fail(self, csr: Any, problem: str) -> None:
        from kybern.api.certificates import CertificateSigningRequestCondition

        now = format_time(self.clock.now())
        failed = CertificateSigningRequestCondition(
            type="Failed",
            status="True",
            reason="SignerValidationFailure",
            message=problem,
            lastUpdateTime=now,
            lastTransitionTime=now,
        )
        csr.status.conditions = [*(csr.status.conditions or ()), failed]


def _lifetime(csr: Any) -> int:
    wanted = csr.spec.expirationSeconds
    return LONGEST if wanted is None else min(max(wanted, SHORTEST), LONGEST)
