"""MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters."""

from __future__ import annotations

from typing import Any

from kybern.api.admissionregistration import policies
from kybern.api.field import Errors
from kybern.api.kind import Column, Kind
from kybern.api.lifecycle import spec_changed
from kybern.api.table import AGE, NAME, age


def validate(obj: Any, errors: Errors) -> None:
    policies.validate_binding(obj.spec, errors)


def row(obj: Any, now: float) -> list[Any]:
    spec, created = obj.spec, age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, spec.policyName or "", policies.param_ref(spec), created]


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
