"""PodDisruptionBudget: resource `poddisruptionbudgets` of policy/v1."""

from __future__ import annotations

from typing import Any

from kybern.api.apps.percent import at_most_all, validate_amount
from kybern.api.core.podspec import workload
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age
from kybern.api.validation.selectors import validate_label_selector

SPEC = Path("spec")
UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")
NOT_GIVEN = "N/A"


def validate(obj: Any, errors: Errors) -> None:
    """One of two limits, and which pods are meant."""
    spec = obj.spec
    if spec.minAvailable is not None and spec.maxUnavailable is not None:
        errors.invalid(SPEC, spec, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        validate_amount(errors, SPEC.child(field), getattr(spec, field))
        at_most_all(errors, SPEC.child(field), getattr(spec, field))
    validate_label_selector(errors, SPEC.child("selector"), spec.selector)
    unhealthy = spec.unhealthyPodEvictionPolicy
    if unhealthy is not None and unhealthy not in UNHEALTHY:
        errors.not_supported(SPEC.child("unhealthyPodEvictionPolicy"), unhealthy, UNHEALTHY)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    fields = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    workload.not_negative(errors, Path("status"), new.status, *fields)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec = obj.spec
    return [
        obj.metadata.name,
        NOT_GIVEN if spec.minAvailable is None else str(spec.minAvailable),
        NOT_GIVEN if spec.maxUnavailable is None else str(spec.maxUnavailable),
        obj.status.disruptionsAllowed or 0,
        age(obj.metadata.creationTimestamp, now),
    ]


KIND = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    namespaced=True,
    short_names=("pdb",),
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    columns=(
        NAME,
        Column("Min Available", description="The minimum number of pods that must be available."),
        Column("Max Unavailable", description="The maximum number of pods that may be unavailable."),
        Column(
            "Allowed Disruptions",
            type="integer",
            description="Calculated number of pods that may be disrupted at this time.",
        ),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
