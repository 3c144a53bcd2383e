"""What a CertificateSigningRequest asks for, and whether that is what its signer gives.

The rules are those of the built-in signers. (Kubernetes docs, "Certificate Signing Requests".)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import attrs

__all__ = ["SIGNERS", "Asked", "condition", "read_request"]

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
_NODE = "system:node:"
_CLIENT = ({"digital signature", "client auth"}, {"digital signature", "key encipherment", "client auth"})
_SERVER = ({"digital signature", "server auth"}, {"digital signature", "key encipherment", "server auth"})


@attrs.frozen
class Asked:
    """A certificate request, taken apart."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: int
    addresses: int
    emails: int
    uris: int


async def read_request(csr: Any) -> Asked:
    """The request inside the object; ValueError when it is malformed. The X.509 library is loaded in a thread."""
    return await asyncio.to_thread(_read, csr.spec.request or b"")


def _read(pem: bytes) -> Asked:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    from kybern.cluster.issue import load_request

    request = load_request(pem)
    names: Any = ()
    with contextlib.suppress(x509.ExtensionNotFound):
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    def count(kind: type[Any]) -> int:
        return sum(isinstance(name, kind) for name in names)

    common = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organizations = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Asked(
        common[-1] if common else "",
        tuple(str(a.value) for a in organizations),
        count(x509.DNSName),
        count(x509.IPAddress),
        count(x509.RFC822Name),
        count(x509.UniformResourceIdentifier),
    )


def _kubelet_client(asked: Asked, usages: Iterable[str]) -> str:
    if asked.organizations != ("system:nodes",):
        return "subject organization is not system:nodes"
    for number, what in (
        (asked.dns_names, "DNS"),
        (asked.emails, "Email"),
        (asked.addresses, "IP"),
        (asked.uris, "URI"),
    ):
        if number:
            return f"{what} subjectAltNames are not allowed"
    if not asked.common_name.startswith(_NODE):
        return f"subject common name does not begin with {_NODE}"
    return "" if set(usages) in _CLIENT else _usages_wrong(_CLIENT[-1])


def _kubelet_serving(asked: Asked, usages: Iterable[str]) -> str:
    if asked.organizations != ("system:nodes",):
        return "subject organization is not system:nodes"
    if not asked.dns_names and not asked.addresses:
        return "DNS or IP subjectAltName is required"
    if asked.emails:
        return "Email subjectAltNames are not allowed"
    if asked.uris:
        return "URI subjectAltNames are not allowed"
    if set(usages) not in _SERVER:
        return _usages_wrong(_SERVER[-1])
    return "" if asked.common_name.startswith(_NODE) else f"subject common name does not begin with {_NODE}"


def _api_client(asked: Asked, usages: Iterable[str]) -> str:
    for usage in usages:
        if usage not in _CLIENT[-1]:
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in set(usages) else "missing required usage for client certificate: client auth"


def _anything(asked: Asked, usages: Iterable[str]) -> str:
    return ""


def _usages_wrong(expected: set[str]) -> str:
    return f"usages did not match [{' '.join(sorted(expected))}]"


SIGNERS: dict[str, Callable[[Asked, Iterable[str]], str]] = {
    "kubernetes.io/kube-apiserver-client": _api_client,
    KUBELET_CLIENT: _kubelet_client,
    "kubernetes.io/kubelet-serving": _kubelet_serving,
    "kubernetes.io/legacy-unknown": _anything,
}
"""By signer name: what is wrong with a request, or nothing."""


def condition(csr: Any, type: str) -> Any | None:
    """The condition of that type when it is true."""
    for present in csr.status.conditions or ():
        if present.type == type and (present.status or "True") == "True":
            return present
    return None
