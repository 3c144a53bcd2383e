"""ValidatingAdmissionPolicyBinding: where a policy holds, and with which parameters."""

from __future__ import annotations

from typing import Any

from kybern.api.admissionregistration import policies
from kybern.api.field import Errors
from kybern.api.kind import Column, Kind
from kybern.api.lifecycle import spec_changed
from kybern.api.table import AGE, NAME, age

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


def row(obj: Any, now: float) -> list[Any]:
    spec, created = obj.spec, age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, spec.policyName or "", policies.param_ref(spec), created]


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
    columns=(
        NAME,
        Column(
            "PolicyName", description="PolicyName indicates the policy definition which the policy binding binded to"
        ),
        Column("ParamRef", description="ParamRef indicates the param resource which sets the configration param"),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
