"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may have certificates made.

Signers are resources of their own for RBAC: approving takes the verb `approve`, signing the verb
`sign`, on `signers` named like the signer or, for a whole domain, `example.com/*`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kybern.api.field import go_quote
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern_admission_builtin.access import Access
from kybern_admission_builtin.refusal import forbidden

__all__ = ["CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction"]

GROUP = "certificates.k8s.io"
_CLIENT = "kubernetes.io/kube-apiserver-client"
_MASTERS = "system:masters"


def _is_request(kind: Kind) -> bool:
    return kind.group == GROUP and kind.kind == "CertificateSigningRequest"


async def _may(access: Access, request: AdmissionRequest, verb: str, signer: str) -> bool:
    for name in (signer, signer.rpartition("/")[0] + "/*"):
        if await access.may(request.user, verb, "signers", group=GROUP, name=name):
            return True
    return False


class CertificateApproval(Admission):
    """Approving and denying needs the right to approve for that signer."""

    name = "CertificateApproval"
    order = 200

    def __init__(self, access: Access) -> None:
        self._access = access

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return _is_request(kind) and operation == "UPDATE" and subresource == "approval"

    async def validate(self, request: AdmissionRequest) -> None:
        signer = request.old.spec.signerName
        if not await _may(self._access, request, "approve", signer):
            raise forbidden(request, f"user not permitted to approve requests with signerName {go_quote(signer)}")


class CertificateSigning(Admission):
    """Putting a certificate (or a failure) into the status needs the right to sign for that signer."""

    name = "CertificateSigning"
    order = 210

    def __init__(self, access: Access) -> None:
        self._access = access

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return _is_request(kind) and operation == "UPDATE" and subresource == "status"

    async def validate(self, request: AdmissionRequest) -> None:
        old, new = request.old.status, request.object.status
        if old.certificate == new.certificate and _failures(old) == _failures(new):
            return
        signer = request.old.spec.signerName
        if not await _may(self._access, request, "sign", signer):
            raise forbidden(request, f"user not permitted to sign requests with signerName {go_quote(signer)}")


def _failures(status: Any) -> list[Any]:
    return [c for c in status.conditions or () if c.type == "Failed"]


class CertificateSubjectRestriction(Admission):
    """No certificate of this cluster says system:masters: such rights could never be taken back."""

    name = "CertificateSubjectRestriction"
    order = 220

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return _is_request(kind) and operation == "CREATE" and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        spec = request.object.spec
        if spec.signerName != _CLIENT:
            return
        organizations = await asyncio.to_thread(_organizations, spec.request)
        if _MASTERS in organizations:
            why = f"use of {_CLIENT} signer with {_MASTERS} group is not allowed"
            raise forbidden(request, why)


def _organizations(pem: bytes) -> list[str]:
    """The X.509 library takes a while to load; hence the thread."""
    from cryptography.x509.oid import NameOID

    from kybern.cluster.issue import load_request

    subject = load_request(pem).subject
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
