"""Lease: who holds a role until when (leader election, node heartbeats)."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, age
from kybern.api.validation.metadata import validate_non_negative

SPEC = Path("spec")
STRATEGIES = ("OldestEmulationVersion",)


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    if spec.leaseDurationSeconds is not None and spec.leaseDurationSeconds <= 0:
        errors.invalid(SPEC.child("leaseDurationSeconds"), spec.leaseDurationSeconds, "must be greater than 0")
    validate_non_negative(errors, SPEC.child("leaseTransitions"), spec.leaseTransitions)
    if spec.strategy is not None and spec.strategy not in STRATEGIES:
        _validate_strategy(errors, spec.strategy)
    if spec.preferredHolder and not spec.strategy:
        errors.forbidden(SPEC.child("preferredHolder"), "may only be specified if `strategy` is defined")


def _validate_strategy(errors: Errors, strategy: str) -> None:
    if "/" not in strategy:
        errors.not_supported(SPEC.child("strategy"), strategy, STRATEGIES)
        return
    from kybern.api.validation import names

    names.add_all(errors, SPEC.child("strategy"), strategy, names.qualified_name(strategy))


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, obj.spec.holderIdentity or "", age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    namespaced=True,
    validate=validate,
    columns=(NAME, Column("Holder", field="LeaseSpec.holderIdentity"), AGE),
    row=row,
    allow_create_on_update=True,
    unconditional_update=False,
)
