"""ValidatingWebhookConfiguration: resource `validatingwebhookconfigurations.admissionregistration.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    namespaced=False,
    categories=("api-extensions",),
    columns=(
        NAME,
        Column("Webhooks", type="integer"),
        AGE,
    ),
)
