"""Admission that asks about rights: certificates and owners."""

from __future__ import annotations

from typing import Any

import pytest

from kybern_admission_builtin.access import Access
from kybern_admission_builtin.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from kybern_admission_builtin.owner_references import OwnerReferencesPermissionEnforcement
from tests.security.admitting import pod, refused
from tests.security.test_pki import request as certificate_request
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


class Rights(World):
    """A world whose answers to SubjectAccessReviews are given beforehand."""

    def __init__(self, *allowed: str) -> None:
        super().__init__()
        self.allowed = allowed
        self.asked: list[Any] = []

    async def create(self, obj: Any, **_: Any) -> Any:
        attributes = obj.spec.resourceAttributes
        self.asked.append((obj.spec.user, attributes.group, attributes.resource, attributes.subresource))
        allowed = f"{attributes.verb} {attributes.name}" in self.allowed
        return plain("authorization.k8s.io/v1/SubjectAccessReview", status={"allowed": allowed})


def csr(signer: str, organization: str = "devs", **status: Any) -> Any:
    made = plain("certificates.k8s.io/v1/CertificateSigningRequest", metadata={"name": "r"}, status=status)
    made.spec.signerName, made.spec.request = signer, certificate_request(organization=organization)
    return made


@pytest.mark.parametrize(
    ("right", "allowed"),
    [("approve example.com/s", True), ("approve example.com/*", True), ("approve other.com/*", False), ("", False)],
)
async def test_approving_takes_the_right_for_the_signer(right: str, allowed: bool) -> None:
    rights = Rights(right)
    plugin = CertificateApproval(Access(rights))  # type: ignore[arg-type]  # the part of a client that it uses
    asked = request("UPDATE", csr("example.com/s"), old=csr("example.com/s"), subresource="approval")
    if allowed:
        await admit(plugin, asked)
    else:
        assert await refused(plugin, asked) == (
            'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
            'user not permitted to approve requests with signerName "example.com/s"'
        )
    assert rights.asked[0] == ("jane", "certificates.k8s.io", "signers", None)


async def test_signing_takes_the_right_for_the_signer() -> None:
    old, new = csr("example.com/s"), csr("example.com/s", certificate="eA==")
    failed = csr("example.com/s", conditions=[{"type": "Failed", "status": "True"}])
    seen = csr("example.com/s", conditions=[{"type": "Seen", "status": "True"}])
    none: Any = Rights()
    plugin = CertificateSigning(Access(none))
    for change in (new, failed):
        assert await refused(plugin, request("UPDATE", change, old=old, subresource="status")) == (
            'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
            'user not permitted to sign requests with signerName "example.com/s"'
        )
    await admit(plugin, request("UPDATE", seen, old=old, subresource="status"))
    some: Any = Rights("sign example.com/*")
    await admit(CertificateSigning(Access(some)), request("UPDATE", new, old=old, subresource="status"))


async def test_nobody_gets_a_certificate_for_masters() -> None:
    plugin = CertificateSubjectRestriction()
    client = "kubernetes.io/kube-apiserver-client"
    assert await refused(plugin, request("CREATE", csr(client, "system:masters"))) == (
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )
    await admit(plugin, request("CREATE", csr(client)))
    await admit(plugin, request("CREATE", csr("example.com/s", "system:masters")))


def owned(**fields: Any) -> Any:
    made = pod()
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", **fields}
    made.metadata.ownerReferences = plain("v1/Pod", metadata={"ownerReferences": [reference]}).metadata.ownerReferences
    return made


async def test_owners_may_be_set_by_who_may_delete() -> None:
    from kybern.api import registry

    def plugin(*rights: str) -> OwnerReferencesPermissionEnforcement:
        some: Any = Rights(*rights)
        return OwnerReferencesPermissionEnforcement(Access(some), registry.builtin())

    change = request("UPDATE", owned(), old=pod())
    assert "cannot set an ownerRef on a resource you can't delete" in await refused(plugin(), change)
    await admit(plugin("delete p"), change)
    await admit(plugin(), request("CREATE", owned()))
    blocking = request("CREATE", owned(blockOwnerDeletion=True))
    assert "you can't set finalizers on" in await refused(plugin(), blocking)
    await admit(plugin("update rs"), blocking)
    unknown = request("CREATE", owned(blockOwnerDeletion=True, kind="Nothing"))
    assert "cannot find RESTMapping" in await refused(plugin("update rs"), unknown)
