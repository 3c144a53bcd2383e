"""ValidatingAdmissionPolicy: conditions in CEL that objects must fulfil on their way in."""

from __future__ import annotations

from typing import Any

from kybern.api import cel
from kybern.api.admissionregistration import policies
from kybern.api.admissionregistration.policies import SPEC, validate_expression, variables_of
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.conditions import validate_conditions

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ANNOTATIONS_MAX = 20
ANNOTATION_EXPRESSION_MAX = 5 * 1024
NOTHING_TO_DO = "validations or auditAnnotations must contain at least one item"


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    policies.validate_head(spec, errors)
    annotations = SPEC.child("auditAnnotations")
    if not spec.validations and not spec.auditAnnotations:
        errors.required(SPEC.child("validations"), NOTHING_TO_DO)
        errors.required(annotations, NOTHING_TO_DO)
        return
    for i, validation in enumerate(spec.validations or ()):
        _validate_validation(validation, spec, errors, SPEC.child("validations").index(i))
    if len(spec.auditAnnotations or ()) > ANNOTATIONS_MAX:
        text = f"must not have more than {ANNOTATIONS_MAX} auditAnnotations"
        errors.invalid(annotations, spec.auditAnnotations, text)
    seen: set[str] = set()
    for i, annotation in enumerate(spec.auditAnnotations or ()):
        _validate_annotation(obj, annotation, errors, annotations.index(i))
        if annotation.key in seen:
            errors.duplicate(annotations.index(i).child("key"), annotation.key)
        seen.add(annotation.key)


def _validate_validation(validation: Any, spec: Any, errors: Errors, path: Path) -> None:
    usable = variables_of(spec)
    validate_expression(validation.expression, usable, ("bool",), errors, path.child("expression"))
    text = validation.messageExpression
    if text:
        at = path.child("messageExpression")
        if not text.strip():
            errors.invalid(at, text, "must be non-empty if specified")
        elif fault := cel.compile_fault(text, tuple(v for v in usable if v != "authorizer"), ("string",)):
            errors.invalid(at, text, fault)
    message = validation.message
    if message and not message.strip():
        errors.invalid(path.child("message"), message, "message must be non-empty if specified")
    elif message and len(message.strip().splitlines()) > 1:
        errors.invalid(path.child("message"), message, "message must not contain line breaks")
    if validation.reason is not None and validation.reason not in REASONS:
        errors.not_supported(path.child("reason"), validation.reason, REASONS)


def _validate_annotation(obj: Any, annotation: Any, errors: Errors, path: Path) -> None:
    at, name = path.child("key"), obj.metadata.name
    if name:
        full = f"{name}/{annotation.key}"
        names.add_all(errors, at, full, names.qualified_name(full))
    else:
        errors.invalid(at, annotation.key, "requires metadata.name be non-empty")
    expression, at = annotation.valueExpression.strip(), path.child("valueExpression")
    if len(expression.encode()) > ANNOTATION_EXPRESSION_MAX:
        errors.required(at, f"must not exceed {ANNOTATION_EXPRESSION_MAX} bytes in length")
    else:
        validate_expression(expression, variables_of(obj.spec), ("string", "null_type"), errors, at)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    validate_conditions(errors, Path("status").child("conditions"), new.status.conditions)


def row(obj: Any, now: float) -> list[Any]:
    spec, created = obj.spec, age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, len(spec.validations or ()), policies.param_kind(spec), created]


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    namespaced=False,
    categories=("api-extensions",),
    subresources=(Subresource("status"),),
    default=policies.default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    columns=(
        NAME,
        Column(
            "Validations",
            type="integer",
            description="Validations indicates the number of validation rules defined in this configuration",
        ),
        Column("ParamKind", description="ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
