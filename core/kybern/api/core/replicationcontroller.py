"""ReplicationController: resource `replicationcontrollers`, the elder ReplicaSet, with a plain map as selector."""

from __future__ import annotations

from typing import Any

from kybern.api import selectors
from kybern.api.core.podspec import replicas, workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.workload import SPEC, TEMPLATE
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.table import labels
from kybern.api.validation import names


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
    if spec.template is None:
        errors.required(TEMPLATE)
        return
    workload.validate_selected_template(errors, TEMPLATE, spec.template, selectors.from_map(spec.selector))
    pods = spec.template.spec
    if (spec.replicas or 0) > 1:
        workload.read_only_disks(errors, TEMPLATE.child("spec", "volumes"), pods.volumes)
    workload.only_always(errors, TEMPLATE.child("spec"), pods, "ReplicationController")


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    return replicas.row(obj, now, labels(obj.spec.selector))


def name_errors(name: str, prefix: bool) -> list[str]:
    """The subdomain rule, with its limit in bytes."""
    return names.long_name(names.mask_trailing_dash(name) if prefix else name)


KIND = Kind(
    group="",
    short_names=("rc",),
    default=default,
    validate=validate,
    name_errors=name_errors,
    row=row,
    orphans="",
    **replicas.arguments("ReplicationController"),
)
