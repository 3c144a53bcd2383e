"""MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters."""

from __future__ import annotations

from typing import Any

from kybern.api.admissionregistration import policies
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.lifecycle import spec_changed


def validate(obj: Any, errors: Errors) -> None:
    policies.validate_binding(obj.spec, errors)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
    namespaced=False,
    categories=("api-extensions",),
    default=policies.default_binding,
    validate=validate,
    spec_changed=spec_changed,
    columns=policies.BINDING_COLUMNS,
    row=policies.binding_row,
    unconditional_update=False,
)
