"""Deployment: resource `deployments` of apps/v1."""

from __future__ import annotations

from typing import Any

from kybern.api import apps
from kybern.api.apps.percent import amount, at_most_all, shown_strategy, validate_amount
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.core.podspec.workload import SPEC, TEMPLATE
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, WriteContext
from kybern.api.lifecycle import drop_status, keep_other_half
from kybern.api.table import AGE, NAME, age, selector

STRATEGY = SPEC.child("strategy")


def default(obj: Any) -> None:
    """One replica, rolled out by quarters, ten old revisions kept, ten minutes to make progress."""
    spec = obj.spec
    default_template(spec.template)
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revisionHistoryLimit is None:
        spec.revisionHistoryLimit = 10
    if spec.progressDeadlineSeconds is None:
        spec.progressDeadlineSeconds = 600
    strategy = spec.strategy
    strategy.type = strategy.type or "RollingUpdate"
    if strategy.type != "RollingUpdate":
        return
    if strategy.rollingUpdate is None:
        strategy.rollingUpdate = apps.RollingUpdateDeployment()
    for field in ("maxUnavailable", "maxSurge"):
        if getattr(strategy.rollingUpdate, field) is None:
            setattr(strategy.rollingUpdate, field, "25%")


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    """Spec and status have a path each; labels belong to the spec's path."""
    keep_other_half(new, old, context)
    if context.subresource == "status":
        new.metadata.labels = old.metadata.labels


def validate(obj: Any, errors: Errors) -> None:
    """Replicas, selector, template, strategy and limits."""
    spec = obj.spec
    workload.not_negative(errors, SPEC, spec, "replicas")
    workload.validate_selector(
        errors, SPEC.child("selector"), spec.selector, "empty selector is invalid for deployment"
    )
    matcher = workload.matcher(spec.selector)
    if matcher is None:
        errors.invalid(SPEC.child("selector"), spec.selector, "invalid label selector")
    else:
        validate_replica_template(errors, spec, matcher)
    _validate_strategy(errors, spec.strategy)
    workload.not_negative(errors, SPEC, spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.progressDeadlineSeconds
    if deadline is not None and deadline <= (spec.minReadySeconds or 0):
        errors.invalid(SPEC.child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds")


def validate_replica_template(errors: Errors, spec: Any, matcher: Any) -> None:
    """The template of a Deployment or a ReplicaSet."""
    workload.validate_selected_template(errors, TEMPLATE, spec.template, matcher)
    if (spec.replicas or 0) > 1:
        workload.read_only_disks(errors, TEMPLATE.child("spec", "volumes"), spec.template.spec.volumes)
    workload.only_always(errors, TEMPLATE.child("spec"), spec.template.spec, "ReplicaSet")


def _validate_strategy(errors: Errors, strategy: Any) -> None:
    rolling = strategy.rollingUpdate
    if strategy.type == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            errors.forbidden(STRATEGY.child("rollingUpdate"), text)
    elif strategy.type == "RollingUpdate":
        _validate_rolling_update(errors, STRATEGY.child("rollingUpdate"), rolling)
    else:
        errors.not_supported(STRATEGY, shown_strategy(strategy), ["Recreate", "RollingUpdate"])


def _validate_rolling_update(errors: Errors, path: Path, rolling: Any) -> None:
    validate_amount(errors, path.child("maxUnavailable"), rolling.maxUnavailable)
    validate_amount(errors, path.child("maxSurge"), rolling.maxSurge)
    if not amount(rolling.maxUnavailable) and not amount(rolling.maxSurge):
        errors.invalid(path.child("maxUnavailable"), rolling.maxUnavailable, "may not be 0 when `maxSurge` is 0")
    at_most_all(errors, path.child("maxUnavailable"), rolling.maxUnavailable)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """The selector is for ever: it tells which pods are the Deployment's."""
    workload.validate_immutable(errors, SPEC.child("selector"), new.spec.selector, old.spec.selector)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    status = new.status
    parts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    fields = ("observedGeneration", "replicas", *parts, "unavailableReplicas", "terminatingReplicas", "collisionCount")
    workload.not_negative(errors, Path("status"), status, *fields)
    workload.check_replicas(errors, status, *parts)
    workload.collisions_only_grow(errors, new, old)


def spec_changed(new: Any, old: Any) -> bool:
    """Annotations count too: the controller copies them to its ReplicaSets."""
    return bool(new.spec != old.spec or (new.metadata.annotations or {}) != (old.metadata.annotations or {}))


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        f"{status.readyReplicas or 0}/{spec.replicas or 0}",
        status.updatedReplicas or 0,
        status.availableReplicas or 0,
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(spec.template.spec),
        selector(spec.selector),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    namespaced=True,
    short_names=("deploy",),
    categories=("all",),
    default=default,
    prepare_create=drop_status,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    warn=workload.warn,
    columns=(
        NAME,
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date", field="DeploymentStatus.updatedReplicas"),
        Column("Available", field="DeploymentStatus.availableReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", priority=1, field="DeploymentSpec.selector"),
    ),
    row=row,
    **workload.SCALED,
)
