"""MutatingAdmissionPolicy: changes in CEL that objects get on their way in."""

from __future__ import annotations

from typing import Any

from kybern.api import cel
from kybern.api.admissionregistration import matching, policies
from kybern.api.admissionregistration.policies import SPEC, variables_of
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.lifecycle import spec_changed
from kybern.api.table import AGE, NAME, age

PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
"""Patch type -> the field that holds its expression."""


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    policies.validate_head(spec, errors)
    if not spec.mutations:
        errors.required(SPEC.child("mutations"), "mutations must contain at least one item")
    for i, mutation in enumerate(spec.mutations or ()):
        _validate_mutation(mutation, variables_of(spec), errors, SPEC.child("mutations").index(i))
    policy, path = spec.reinvocationPolicy, SPEC.child("reinvocationPolicy")
    if not policy:
        errors.required(path)
    elif policy not in matching.REINVOCATION_POLICIES:
        errors.not_supported(path, policy, matching.REINVOCATION_POLICIES)


def _validate_mutation(mutation: Any, usable: tuple[str, ...], errors: Errors, path: Path) -> None:
    kind = mutation.patchType
    if not kind:
        errors.required(path.child("patchType"))
        return
    if kind not in PATCHES:
        errors.not_supported(path.child("patchType"), kind, PATCHES)
        return
    for patch_type, field in PATCHES.items():
        given = getattr(mutation, field)
        if patch_type != kind and given is not None:
            errors.invalid(path.child(field), given, f"{field} is only permitted when patchType is {patch_type}")
    patch, at = getattr(mutation, PATCHES[kind]), path.child(PATCHES[kind])
    expression = (patch.expression or "") if patch is not None else ""
    if patch is None:
        errors.required(at, f"must be specified when patchType is {kind}")
    elif not expression.strip():
        errors.required(at.child("expression"), "expression is not specified")
    elif fault := cel.compile_fault(expression, usable, checked=False):
        errors.invalid(at.child("expression"), expression, fault)


def row(obj: Any, now: float) -> list[Any]:
    spec, created = obj.spec, age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, len(spec.mutations or ()), policies.param_kind(spec), created]


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    namespaced=False,
    categories=("api-extensions",),
    default=policies.default,
    validate=validate,
    spec_changed=spec_changed,
    columns=(
        NAME,
        Column(
            "Mutations",
            type="integer",
            description="Mutations indicates the number of mutations rules defined in this configuration",
        ),
        Column("ParamKind", description="ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
