"""ReplicaSet: resource `replicasets` of apps/v1."""

from __future__ import annotations

from typing import Any

from kybern.api.apps.deployment import validate_replica_template, validate_update
from kybern.api.core.podspec import replicas, workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.workload import SPEC
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.table import selector


def default(obj: Any) -> None:
    """One replica."""
    default_template(obj.spec.template)
    if obj.spec.replicas is None:
        obj.spec.replicas = 1


def validate(obj: Any, errors: Errors) -> None:
    """Replicas, selector and template."""
    spec = obj.spec
    workload.not_negative(errors, SPEC, spec, "replicas", "minReadySeconds")
    # Upstream shares this text with Deployment.
    workload.validate_selector(
        errors, SPEC.child("selector"), spec.selector, "empty selector is invalid for deployment"
    )
    matcher = workload.matcher(spec.selector)
    if matcher is None:
        errors.invalid(SPEC.child("selector"), spec.selector, "invalid label selector")
    else:
        validate_replica_template(errors, spec, matcher)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    return replicas.row(obj, now, selector(obj.spec.selector))


KIND = Kind(
    group="apps",
    short_names=("rs",),
    default=default,
    validate=validate,
    validate_update=validate_update,
    row=row,
    **replicas.arguments("ReplicaSet"),
)
