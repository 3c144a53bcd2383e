"""PriorityLevelConfiguration: how many requests of one level run at once, and what the others do."""

from __future__ import annotations

from math import ceil, log2
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, NONE, age

TYPES = ("Exempt", "Limited")
RESPONSES = ("Queue", "Reject")
USUAL_SHARES = 30
USUAL_QUEUING = {"handSize": 8, "queues": 64, "queueLengthLimit": 50}
MOST_QUEUES = 10_000_000
MOST_HASH_BITS = 60
SPEC = Path("spec")


def default(obj: Any) -> None:
    spec = obj.spec
    if spec.exempt is not None:
        spec.exempt.nominalConcurrencyShares = spec.exempt.nominalConcurrencyShares or 0
        spec.exempt.lendablePercent = spec.exempt.lendablePercent or 0
    if spec.limited is not None:
        _default_limited(spec.limited)


def _default_limited(limited: Any) -> None:
    if limited.nominalConcurrencyShares is None:
        limited.nominalConcurrencyShares = USUAL_SHARES
    limited.lendablePercent = limited.lendablePercent or 0
    queuing = limited.limitResponse.queuing if limited.limitResponse is not None else None
    for field, value in USUAL_QUEUING.items() if queuing is not None else ():
        if not getattr(queuing, field):
            setattr(queuing, field, value)


def validate(obj: Any, errors: Errors) -> None:
    spec, path = obj.spec, SPEC.child("type")
    if (obj.metadata.name == "exempt") != (spec.type == "Exempt"):
        errors.invalid(path, spec.type, "type must be 'Exempt' if and only if name is 'exempt'")
    if spec.type == "Exempt":
        if spec.limited is not None:
            errors.forbidden(SPEC.child("limited"), "must be nil if the type is not Limited")
        if spec.exempt is not None:
            _validate_shares(spec.exempt, errors, SPEC.child("exempt"))
    elif spec.type == "Limited":
        if spec.exempt is not None:
            errors.forbidden(SPEC.child("exempt"), "must be nil if the type is Limited")
        if spec.limited is None:
            errors.required(SPEC.child("limited"), "must not be empty when type is Limited")
        else:
            _validate_limited(spec.limited, errors, SPEC.child("limited"))
    else:
        errors.not_supported(path, spec.type, TYPES)


def _validate_shares(level: Any, errors: Errors, path: Path) -> None:
    shares, lendable = level.nominalConcurrencyShares or 0, level.lendablePercent or 0
    if shares < 0:
        errors.invalid(path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer")
    if not 0 <= lendable <= 100:
        errors.invalid(path.child("lendablePercent"), lendable, "must be between 0 and 100, inclusive")


def _validate_limited(limited: Any, errors: Errors, path: Path) -> None:
    shares, lendable, borrowing = (
        limited.nominalConcurrencyShares,
        limited.lendablePercent,
        limited.borrowingLimitPercent,
    )
    if shares < 0:
        errors.invalid(path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer")
    _validate_response(limited.limitResponse, errors, path.child("limitResponse"))
    if not 0 <= lendable <= 100:
        errors.invalid(path.child("lendablePercent"), lendable, "must be between 0 and 100, inclusive")
    if borrowing is not None and borrowing < 0:
        errors.invalid(path.child("borrowingLimitPercent"), borrowing, "if specified, must be a non-negative integer")


def _validate_response(response: Any | None, errors: Errors, path: Path) -> None:
    kind = response.type if response is not None else ""
    queuing = response.queuing if response is not None else None
    if kind not in RESPONSES:
        errors.not_supported(path.child("type"), kind, RESPONSES)
    elif kind == "Reject" and queuing is not None:
        errors.forbidden(path.child("queuing"), "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue" and queuing is None:
        errors.required(path.child("queuing"), "must not be empty if limited.limitResponse.type is Limited")
    elif kind == "Queue":
        _validate_queuing(queuing, errors, path.child("queuing"))


def _validate_queuing(queuing: Any, errors: Errors, path: Path) -> None:
    length, queues, hand = queuing.queueLengthLimit, queuing.queues, queuing.handSize
    if length <= 0:
        errors.invalid(path.child("queueLengthLimit"), length, "must be positive")
    if queues <= 0:
        errors.invalid(path.child("queues"), queues, "must be positive")
    elif queues > MOST_QUEUES:
        errors.invalid(path.child("queues"), queues, f"must not be greater than {MOST_QUEUES}")
    if hand <= 0:
        errors.invalid(path.child("handSize"), hand, "must be positive")
    elif hand > queues:
        errors.invalid(path.child("handSize"), hand, f"should not be greater than queues ({queues})")
    elif queues > 0 and ceil(log2(queues) * hand) > MOST_HASH_BITS:
        asked = f"required entropy bits of deckSize {queues} and handSize {hand}"
        errors.invalid(path.child("handSize"), hand, f"{asked} should not be greater than {MOST_HASH_BITS}")


def row(obj: Any, now: float) -> list[Any]:
    limited, shares, queuing = obj.spec.limited, NONE, None
    if limited is not None:
        shares = limited.nominalConcurrencyShares
        queuing = limited.limitResponse.queuing if limited.limitResponse is not None else None
    numbers = [getattr(queuing, f) if queuing is not None else NONE for f in ("queues", "handSize", "queueLengthLimit")]
    return [obj.metadata.name, obj.spec.type, shares, *numbers, age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    namespaced=False,
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    spec_changed=spec_changed,
    columns=(
        NAME,
        Column("Type", field="PriorityLevelConfigurationSpec.type"),
        Column("NominalConcurrencyShares", field="LimitedPriorityLevelConfiguration.nominalConcurrencyShares"),
        Column("Queues", field="QueuingConfiguration.queues"),
        Column("HandSize", field="QueuingConfiguration.handSize"),
        Column("QueueLengthLimit", field="QueuingConfiguration.queueLengthLimit"),
        AGE,
    ),
    row=row,
)
