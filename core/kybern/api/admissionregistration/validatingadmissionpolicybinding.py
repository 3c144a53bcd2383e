"""ValidatingAdmissionPolicyBinding: where a policy holds, and with which parameters."""

from __future__ import annotations

from typing import Any

from kybern.api.admissionregistration import policies
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.lifecycle import spec_changed

ACTIONS = ("Audit", "Deny", "Warn")
DENY_AND_WARN = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the "
    "API response and headers serves no purpose)"
)


def validate(obj: Any, errors: Errors) -> None:
    policies.validate_binding(obj.spec, errors)
    path, actions = policies.SPEC.child("validationActions"), obj.spec.validationActions or []
    for i, action in enumerate(actions):
        if action not in ACTIONS:
            errors.not_supported(path.index(i), action, ACTIONS)
        if action in actions[:i]:
            errors.duplicate(path.index(i), action)
    if "Deny" in actions and "Warn" in actions:
        errors.invalid(path, actions, DENY_AND_WARN)
    if not actions:
        errors.required(path, "at least one validation action is required")


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    namespaced=False,
    categories=("api-extensions",),
    default=policies.default_binding,
    validate=validate,
    spec_changed=spec_changed,
    columns=policies.BINDING_COLUMNS,
    row=policies.binding_row,
    unconditional_update=False,
)
