"""Checks what a pod says about where it wants to run: affinity, topology spread, gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names, selectors
from kybern.api.validation.labels import validate_label_key

__all__ = ["validate_affinity", "validate_readiness_gates", "validate_scheduling_gates", "validate_spread"]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WEIGHTS = "must be in the range 1-100"
EMPTY_KEY = "can not be empty"
WHEN = ("DoNotSchedule", "ScheduleAnyway")
POLICIES = ("Honor", "Ignore")


def validate_affinity(errors: Errors, path: Path, affinity: Any) -> None:
    """Affinity to nodes and to other pods."""
    if affinity.nodeAffinity is not None:
        _validate_node_affinity(errors, path.child("nodeAffinity"), affinity.nodeAffinity)
    for field in ("podAffinity", "podAntiAffinity"):
        terms = getattr(affinity, field)
        if terms is not None:
            _validate_pod_affinity(errors, path.child(field), terms)


def _validate_node_affinity(errors: Errors, path: Path, affinity: Any) -> None:
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution
    if required is not None:
        selectors.validate_node_selector(errors, path.child(REQUIRED), required)
    for i, term in enumerate(affinity.preferredDuringSchedulingIgnoredDuringExecution or ()):
        at = path.child(PREFERRED).index(i)
        _validate_weight(errors, at, term.weight)
        selectors.validate_node_selector_term(errors, at.child("preference"), term.preference, check_values=False)


def _validate_weight(errors: Errors, path: Path, weight: int) -> None:
    if not 1 <= weight <= 100:
        errors.invalid(path.child("weight"), weight, WEIGHTS)


def _validate_pod_affinity(errors: Errors, path: Path, affinity: Any) -> None:
    for i, term in enumerate(affinity.requiredDuringSchedulingIgnoredDuringExecution or ()):
        _validate_pod_term(errors, path.child(REQUIRED).index(i), term)
    for i, weighted in enumerate(affinity.preferredDuringSchedulingIgnoredDuringExecution or ()):
        at = path.child(PREFERRED).index(i)
        _validate_weight(errors, at, weighted.weight)
        _validate_pod_term(errors, at.child("podAffinityTerm"), weighted.podAffinityTerm)


def _validate_pod_term(errors: Errors, path: Path, term: Any) -> None:
    selectors.validate_label_selector(errors, path.child("labelSelector"), term.labelSelector)
    selectors.validate_label_selector(errors, path.child("namespaceSelector"), term.namespaceSelector)
    for name in term.namespaces or ():
        names.add_all(errors, path.child("namespace"), name, names.dns1123_label(name))
    _validate_label_keys(errors, path, term)
    if not term.topologyKey:
        errors.required(path.child("topologyKey"), EMPTY_KEY)
    validate_label_key(errors, path.child("topologyKey"), term.topologyKey)


def _validate_label_keys(errors: Errors, path: Path, term: Any) -> None:
    match, mismatch = term.matchLabelKeys or (), term.mismatchLabelKeys or ()
    for field, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and term.labelSelector is None:
            errors.forbidden(path.child(field), "must not be specified when labelSelector is not set")
        for i, key in enumerate(keys):
            validate_label_key(errors, path.child(field).index(i), key)
    for i, key in enumerate(match):
        if key in mismatch:
            errors.invalid(
                path.child("matchLabelKeys").index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys"
            )


def validate_spread(errors: Errors, path: Path, constraints: Sequence[Any] | None) -> None:
    """Topology spread constraints; each pair of key and strictness once."""
    constraints = constraints or ()
    for i, constraint in enumerate(constraints):
        at = path.index(i)
        if constraint.maxSkew <= 0:
            errors.invalid(at.child("maxSkew"), constraint.maxSkew, "must be greater than zero")
        if not constraint.topologyKey:
            errors.required(at.child("topologyKey"), EMPTY_KEY)
        if constraint.whenUnsatisfiable not in WHEN:
            errors.not_supported(at.child("whenUnsatisfiable"), constraint.whenUnsatisfiable, WHEN)
        pair = (constraint.topologyKey, constraint.whenUnsatisfiable)
        if any(pair == (other.topologyKey, other.whenUnsatisfiable) for other in constraints[i + 1 :]):
            errors.duplicate(at.child("{topologyKey, whenUnsatisfiable}"), f"{{{pair[0]}, {pair[1]}}}")
        _validate_spread_options(errors, at, constraint)


def _validate_spread_options(errors: Errors, path: Path, constraint: Any) -> None:
    domains = constraint.minDomains
    if domains is not None:
        if domains <= 0:
            errors.invalid(path.child("minDomains"), domains, "must be greater than zero")
        if constraint.whenUnsatisfiable != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {constraint.whenUnsatisfiable}"
            errors.invalid(path.child("minDomains"), domains, text)
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = getattr(constraint, field)
        if policy is not None and policy not in POLICIES:
            errors.not_supported(path.child(field), policy, POLICIES)
    _validate_spread_keys(errors, path.child("matchLabelKeys"), constraint)
    selectors.validate_label_selector(errors, path.child("labelSelector"), constraint.labelSelector)


def _validate_spread_keys(errors: Errors, path: Path, constraint: Any) -> None:
    keys = constraint.matchLabelKeys or ()
    if keys and constraint.labelSelector is None:
        errors.forbidden(path, "must not be specified when labelSelector is not set")
        return
    selected = set(constraint.labelSelector.matchLabels or ()) if constraint.labelSelector is not None else set()
    for i, key in enumerate(keys):
        validate_label_key(errors, path.index(i), key)
        if key in selected:
            errors.invalid(path.index(i), key, "exists in both matchLabelKeys and labelSelector")


def validate_readiness_gates(errors: Errors, path: Path, gates: Sequence[Any] | None) -> None:
    """Conditions that a pod needs to be ready, by qualified name."""
    for i, gate in enumerate(gates or ()):
        at = path.index(i).child("conditionType")
        names.add_all(errors, at, gate.conditionType, names.qualified_name(gate.conditionType))


def validate_scheduling_gates(errors: Errors, path: Path, gates: Sequence[Any] | None) -> None:
    """What must be taken away before the pod is scheduled; each once."""
    seen: set[str] = set()
    for i, gate in enumerate(gates or ()):
        names.add_all(errors, path.index(i), gate.name, names.qualified_name(gate.name))
        if gate.name in seen:
            errors.duplicate(path.index(i), gate.name)
        seen.add(gate.name)
