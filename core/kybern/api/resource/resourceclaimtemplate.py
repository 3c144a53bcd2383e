"""ResourceClaimTemplate: a claim is made from it for each pod that names it."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from kybern.api.resource import claims
from kybern.api.table import AGE, NAME, name_and_age
from kybern.api.validation.labels import validate_annotations, validate_labels
from kybern.api.validation.metadata import validate_immutable

SPEC = Path("spec")


def default(obj: Any) -> None:
    claims.default_claim(obj.spec.spec)


def validate(obj: Any, errors: Errors) -> None:
    path, metadata = SPEC.child("metadata"), obj.spec.metadata
    validate_annotations(errors, path.child("annotations"), metadata.annotations)
    validate_labels(errors, path.child("labels"), metadata.labels)
    if not obj.metadata.resourceVersion:
        claims.validate_claim(obj.spec.spec, errors, SPEC.child("spec"))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, SPEC, new.spec, old.spec)


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    namespaced=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, AGE),
    row=name_and_age,
)
