"""ReplicaSet: resource `replicasets` of apps/v1."""

from __future__ import annotations

from typing import Any

from kybern.api.apps.deployment import MORE_THAN_ALL, SPEC, validate_replica_template, validate_update, warn
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age, selector


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


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    status = new.status
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    fields = ("replicas", *parts, "observedGeneration", "terminatingReplicas")
    workload.not_negative(errors, Path("status"), status, *fields)
    workload.check_counts(errors, status, status.replicas, dict.fromkeys(parts, MORE_THAN_ALL))
    workload.check_counts(
        errors, status, status.readyReplicas, {"availableReplicas": "cannot be greater than readyReplicas"}
    )


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        spec.replicas or 0,
        status.replicas or 0,
        status.readyReplicas or 0,
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(spec.template.spec),
        selector(spec.selector),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    namespaced=True,
    short_names=("rs",),
    categories=("all",),
    subresources=(Subresource("scale", kind="Scale", group="autoscaling", version="v1"), Subresource("status")),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    warn=warn,
    selectable={"status.replicas": lambda obj: str(obj.status.replicas or 0)},
    columns=(
        NAME,
        Column("Desired", type="integer", field="ReplicaSetSpec.replicas"),
        Column("Current", type="integer", field="ReplicaSetStatus.replicas"),
        Column("Ready", type="integer", field="ReplicaSetStatus.readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", priority=1, field="ReplicaSetSpec.selector"),
    ),
    row=row,
    scale_paths=("spec.replicas", "status.replicas", "spec.selector"),
)
