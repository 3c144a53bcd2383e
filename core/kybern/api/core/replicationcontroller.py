"""ReplicationController: resource `replicationcontrollers`, the elder ReplicaSet, with a plain map as selector."""

from __future__ import annotations

from typing import Any

from kybern.api import selectors
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.core.podspec.warnings import template_warnings
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age, labels
from kybern.api.validation import names

SPEC = Path("spec")
MORE_THAN_ALL = "cannot be greater than status.replicas"


def default(obj: Any) -> None:
    """One replica; the template's labels serve as selector and as labels when there are none."""
    spec = obj.spec
    if spec.replicas is None:
        spec.replicas = 1
    if spec.template is None:
        return
    default_template(spec.template)
    found = spec.template.metadata.labels
    if found:
        spec.selector = spec.selector or dict(found)
        obj.metadata.labels = obj.metadata.labels or dict(found)


def validate(obj: Any, errors: Errors) -> None:
    """Replicas, selector and template."""
    spec = obj.spec
    workload.not_negative(errors, SPEC, spec, "minReadySeconds")
    if not spec.selector:
        errors.required(SPEC.child("selector"))
    workload.not_negative(errors, SPEC, spec, "replicas")
    path = SPEC.child("template")
    if spec.template is None:
        errors.required(path)
        return
    workload.validate_selected_template(errors, path, spec.template, selectors.from_map(spec.selector))
    pods = spec.template.spec
    if (spec.replicas or 0) > 1:
        workload.read_only_disks(errors, path.child("spec", "volumes"), pods.volumes)
    workload.only_always(errors, path.child("spec"), pods, "ReplicationController")


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    status = new.status
    fields = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
    workload.not_negative(errors, Path("status"), status, *fields)
    parts = dict.fromkeys(fields[1:4], MORE_THAN_ALL)
    workload.check_counts(errors, status, status.replicas, parts)
    workload.check_counts(
        errors, status, status.readyReplicas, {"availableReplicas": "cannot be greater than readyReplicas"}
    )


def warn(new: Any, old: Any | None) -> list[str]:
    """Warnings about the template."""
    return template_warnings(new.spec.template, SPEC.child("template"), old.spec.template if old is not None else None)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec, status = obj.spec, obj.status
    pods = spec.template.spec if spec.template is not None else None
    return [
        obj.metadata.name,
        spec.replicas or 0,
        status.replicas or 0,
        status.readyReplicas or 0,
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(pods),
        labels(spec.selector),
    ]


def name_errors(name: str, prefix: bool) -> list[str]:
    """The subdomain rule, with its limit in bytes."""
    return names.long_name(names.mask_trailing_dash(name) if prefix else name)


KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    namespaced=True,
    short_names=("rc",),
    categories=("all",),
    subresources=(Subresource("scale", kind="Scale", group="autoscaling", version="v1"), Subresource("status")),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    warn=warn,
    name_errors=name_errors,
    selectable={"status.replicas": lambda obj: str(obj.status.replicas or 0)},
    columns=(
        NAME,
        Column("Desired", type="integer", field="ReplicationControllerSpec.replicas"),
        Column("Current", type="integer", field="ReplicationControllerStatus.replicas"),
        Column("Ready", type="integer", field="ReplicationControllerStatus.readyReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", priority=1, field="ReplicationControllerSpec.selector"),
    ),
    row=row,
    scale_paths=("spec.replicas", "status.replicas", "spec.selector"),
)
