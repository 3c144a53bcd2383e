"""What ReplicaSets and ReplicationControllers have in common: all of their `KIND` but what reads the selector."""

from __future__ import annotations

from typing import Any

from kybern.api.core.podspec import workload
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.field import Errors, Path
from kybern.api.kind import Column
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age

__all__ = ["arguments", "row", "validate_status_update"]

PARTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    counts = [f for f in ("replicas", *PARTS, "observedGeneration", "terminatingReplicas") if hasattr(new.status, f)]
    workload.not_negative(errors, Path("status"), new.status, *counts)
    workload.check_replicas(errors, new.status, *PARTS)


def row(obj: Any, now: float, selector: str) -> list[Any]:
    """Table cells."""
    spec, status = obj.spec, obj.status
    counts = [spec.replicas or 0, status.replicas or 0, status.readyReplicas or 0]
    cells = containers_and_images(spec.template.spec if spec.template is not None else None)
    return [obj.metadata.name, *counts, age(obj.metadata.creationTimestamp, now), *cells, selector]


def arguments(kind: str) -> dict[str, Any]:
    """What the `Kind` of this name is made with."""
    return {
        "kind": kind,
        "plural": f"{kind.lower()}s",
        "version": "v1",
        "namespaced": True,
        "categories": ("all",),
        **workload.SCALED,
        "prepare_create": drop_status,
        "prepare_update": keep_other_half,
        "validate_status_update": validate_status_update,
        "spec_changed": spec_changed,
        "warn": workload.warn,
        "selectable": {"status.replicas": lambda obj: str(obj.status.replicas or 0)},
        "columns": (
            NAME,
            Column("Desired", type="integer", field=f"{kind}Spec.replicas"),
            Column("Current", type="integer", field=f"{kind}Status.replicas"),
            Column("Ready", type="integer", field=f"{kind}Status.readyReplicas"),
            AGE,
            CONTAINERS,
            IMAGES,
            Column("Selector", priority=1, field=f"{kind}Spec.selector"),
        ),
    }
