"""ValidatingAdmissionPolicy: resource `validatingadmissionpolicies.admissionregistration.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    namespaced=False,
    categories=("api-extensions",),
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("Validations", type="integer"),
        Column("ParamKind"),
        AGE,
    ),
)
