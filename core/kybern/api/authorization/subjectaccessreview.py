"""SubjectAccessReview: may this user do that? The server answers in `status`."""

from __future__ import annotations

from typing import Any

from kybern.api.authorization.rules import refuse, validate_empty_metadata, validate_question, validate_subject
from kybern.api.field import Errors
from kybern.api.kind import REVIEW_VERBS, Kind


def validate(obj: Any, errors: Errors) -> None:
    validate_question(obj.spec, errors)
    validate_subject(obj.spec, errors)
    validate_empty_metadata(obj, errors)
    refuse(errors)


KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SubjectAccessReview",
    plural="subjectaccessreviews",
    namespaced=False,
    verbs=REVIEW_VERBS,
    validate=validate,
)
