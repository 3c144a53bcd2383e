"""CertificateSigningRequest: resource `certificatesigningrequests.certificates.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval"),
        Subresource("status"),
    ),
    columns=(
        NAME,
        AGE,
        Column("SignerName"),
        Column("Requestor"),
        Column("RequestedDuration"),
        Column("Condition"),
    ),
)
