"""LocalSubjectAccessReview: may this user do that in this namespace? The server answers in `status`."""

from __future__ import annotations

from typing import Any

from kybern.api.authorization.rules import SPEC, refuse, validate_empty_metadata, validate_question, validate_subject
from kybern.api.field import Errors
from kybern.api.kind import REVIEW_VERBS, Kind


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    validate_question(spec, errors)
    validate_subject(spec, errors)
    validate_empty_metadata(obj, errors, namespaced=True)
    if spec.resourceAttributes is not None and spec.resourceAttributes.namespace != obj.metadata.namespace:
        path = SPEC.child("resourceAttributes", "namespace")
        errors.invalid(path, spec.resourceAttributes.namespace or "", "must match metadata.namespace")
    if spec.nonResourceAttributes is not None:
        text = "disallowed on this kind of request"
        errors.invalid(SPEC.child("nonResourceAttributes"), spec.nonResourceAttributes, text)
    refuse(errors)


KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="LocalSubjectAccessReview",
    plural="localsubjectaccessreviews",
    namespaced=True,
    verbs=REVIEW_VERBS,
    validate=validate,
)
