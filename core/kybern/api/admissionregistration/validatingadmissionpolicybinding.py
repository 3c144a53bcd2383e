"""ValidatingAdmissionPolicyBinding: resource `validatingadmissionpolicybindings.admissionregistration.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    namespaced=False,
    categories=("api-extensions",),
    columns=(
        NAME,
        Column("PolicyName"),
        Column("ParamRef"),
        AGE,
    ),
)
