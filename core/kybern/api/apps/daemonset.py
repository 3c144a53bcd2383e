"""DaemonSet: resource `daemonsets` of apps/v1."""

from __future__ import annotations

from typing import Any

from kybern.api import apps, selectors
from kybern.api.apps.deployment import validate_update
from kybern.api.apps.percent import amount, at_most_all, shown_strategy, validate_amount
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.core.podspec.template import validate_template
from kybern.api.core.podspec.workload import SPEC, TEMPLATE
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age, labels, selector
from kybern.api.validation.selectors import validate_label_selector

UPDATE = SPEC.child("updateStrategy")
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def default(obj: Any) -> None:
    """Rolled out one node at a time, ten old revisions kept."""
    spec = obj.spec
    default_template(spec.template)
    if spec.revisionHistoryLimit is None:
        spec.revisionHistoryLimit = 10
    strategy = spec.updateStrategy
    strategy.type = strategy.type or "RollingUpdate"
    if strategy.type != "RollingUpdate":
        return
    if strategy.rollingUpdate is None:
        strategy.rollingUpdate = apps.RollingUpdateDaemonSet()
    if strategy.rollingUpdate.maxUnavailable is None:
        strategy.rollingUpdate.maxUnavailable = 1
    if strategy.rollingUpdate.maxSurge is None:
        strategy.rollingUpdate.maxSurge = 0


def prepare_create(obj: Any, context: WriteContext) -> None:
    """Nothing runs yet; the template is the first of its generation."""
    drop_status(obj, context)
    _set_generation(obj, max(_generation(obj), 1))


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    """Spec and status have a path each; another template is another generation of it."""
    keep_other_half(new, old, context)
    if context.subresource != "status":
        _set_generation(new, _generation(old) + (new.spec.template != old.spec.template))


def _generation(obj: Any) -> int:
    """The template's generation, kept in an annotation since the field for it went."""
    text = (obj.metadata.annotations or {}).get(TEMPLATE_GENERATION, "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def _set_generation(obj: Any, generation: int) -> None:
    obj.metadata.annotations = {**(obj.metadata.annotations or {}), TEMPLATE_GENERATION: str(generation)}


def validate(obj: Any, errors: Errors) -> None:
    """Selector, template and update strategy."""
    spec = obj.spec
    validate_label_selector(errors, SPEC.child("selector"), spec.selector)
    matcher = workload.matcher(spec.selector) if spec.selector is not None else selectors.from_label_selector(None)
    found = spec.template.metadata.labels
    if matcher is not None and not matcher.matches(found):
        errors.invalid(TEMPLATE.child("metadata", "labels"), found, workload.NO_MATCH)
    if spec.selector is not None and workload.is_empty(spec.selector):
        errors.invalid(SPEC.child("selector"), spec.selector, "empty selector is invalid for daemonset")
    validate_template(errors, TEMPLATE, spec.template)
    workload.read_only_disks(errors, TEMPLATE.child("spec", "volumes"), spec.template.spec.volumes)
    workload.only_always(errors, TEMPLATE.child("spec"), spec.template.spec, "DaemonSet")
    workload.not_negative(errors, SPEC, spec, "minReadySeconds")
    _validate_update_strategy(errors, spec.updateStrategy)
    workload.not_negative(errors, SPEC, spec, "revisionHistoryLimit")


def _validate_update_strategy(errors: Errors, strategy: Any) -> None:
    rolling = strategy.rollingUpdate
    if strategy.type == "RollingUpdate":
        _validate_rolling_update(errors, UPDATE.child("rollingUpdate"), rolling)
    elif strategy.type != "OnDelete":
        errors.not_supported(UPDATE, shown_strategy(strategy), ["RollingUpdate", "OnDelete"])


def _validate_rolling_update(errors: Errors, path: Path, rolling: Any) -> None:
    for check in (validate_amount, at_most_all):
        check(errors, path.child("maxUnavailable"), rolling.maxUnavailable)
        check(errors, path.child("maxSurge"), rolling.maxSurge)
    unavailable, surge = amount(rolling.maxUnavailable), amount(rolling.maxSurge)
    if unavailable and surge:
        errors.invalid(path.child("maxSurge"), rolling.maxSurge, "may not be set when maxUnavailable is non-zero")
    elif not unavailable and not surge:
        errors.required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0")


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    fields = (
        "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
        "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
    )  # fmt: skip
    workload.not_negative(errors, Path("status"), new.status, *fields)
    workload.collisions_only_grow(errors, new, old)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        status.desiredNumberScheduled or 0,
        status.currentNumberScheduled or 0,
        status.numberReady or 0,
        status.updatedNumberScheduled or 0,
        status.numberAvailable or 0,
        labels(spec.template.spec.nodeSelector),
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(spec.template.spec),
        selector(spec.selector),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    namespaced=True,
    short_names=("ds",),
    categories=("all",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    warn=workload.warn,
    columns=(
        NAME,
        Column("Desired", type="integer", field="DaemonSetStatus.desiredNumberScheduled"),
        Column("Current", type="integer", field="DaemonSetStatus.currentNumberScheduled"),
        Column("Ready", type="integer", field="DaemonSetStatus.numberReady"),
        Column("Up-to-date", type="integer", field="DaemonSetStatus.updatedNumberScheduled"),
        Column("Available", type="integer", field="DaemonSetStatus.numberAvailable"),
        Column("Node Selector", field="PodSpec.nodeSelector"),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", priority=1, field="DaemonSetSpec.selector"),
    ),
    row=row,
)
