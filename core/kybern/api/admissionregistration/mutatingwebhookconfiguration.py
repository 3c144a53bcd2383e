"""MutatingWebhookConfiguration: servers that may change objects on their way in."""

from __future__ import annotations

from kybern.api.admissionregistration import webhooks
from kybern.api.kind import Kind

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    namespaced=False,
    categories=("api-extensions",),
    default=webhooks.default,
    validate=webhooks.validate,
    spec_changed=webhooks.changed,
    columns=webhooks.COLUMNS,
    row=webhooks.row,
    unconditional_update=False,
)
