"""Which PersistentVolume a claim may have, and which is the best for it. Pure functions of the objects.

The binder asks for claims that are bound at once, the scheduler for those that wait for a pod's node.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from kybern.api import selectors
from kybern.api.storage.classes import class_of, storage_of

__all__ = ["SELECTED_NODE", "best_match", "is_for", "misfit", "same_mode", "size_of", "wanted_size"]

SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""On a claim: the node that the scheduler chose for it."""


def is_for(volume: Any, claim: Any) -> bool:
    """Whether the volume's claimRef means this claim: by name, and by uid once it has one."""
    ref = volume.spec.claimRef
    if ref is None or (ref.namespace, ref.name) != (claim.metadata.namespace, claim.metadata.name):
        return False
    return not ref.uid or bool(ref.uid == claim.metadata.uid)


def misfit(volume: Any, claim: Any) -> str:
    """Why a volume that the claim asks for by name cannot be its; "" when it can."""
    if size_of(volume) < wanted_size(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if (volume.spec.volumeAttributesClassName or "") != (claim.spec.volumeAttributesClassName or ""):
        return "volumeAttributesClassName does not match"
    if not same_mode(volume, claim):
        return "incompatible volumeMode"
    if not _has_access(volume, claim):
        return "incompatible accessMode"
    return ""


def best_match(claim: Any, volumes: Iterable[Any], delayed: bool = False) -> Any | None:
    """The volume that was reserved for the claim, else of those that fit the one with the fewest access modes, then the
    smallest.

    `delayed`: the scheduler chooses among free volumes, so that only a reserved one counts.
    """
    fitting = [v for v in volumes if _may_have(v, claim)]
    reserved = [v for v in fitting if v.spec.claimRef is not None]
    if reserved:
        return min(reserved, key=_rank)
    if delayed:
        return None
    return min((v for v in fitting if _is_free(v, claim)), key=_rank, default=None)


def _rank(volume: Any) -> tuple[Any, ...]:
    return len(volume.spec.accessModes or ()), size_of(volume), volume.metadata.name


def _may_have(volume: Any, claim: Any) -> bool:
    if volume.metadata.deletionTimestamp or (volume.spec.claimRef is not None and not is_for(volume, claim)):
        return False
    attributes = (volume.spec.volumeAttributesClassName or "") == (claim.spec.volumeAttributesClassName or "")
    fits = size_of(volume) >= wanted_size(claim) and same_mode(volume, claim)
    return fits and attributes and _has_access(volume, claim)


def _is_free(volume: Any, claim: Any) -> bool:
    if volume.status.phase != "Available" or class_of(volume) != class_of(claim):
        return False
    wanted = claim.spec.selector
    return wanted is None or selectors.from_label_selector(wanted).matches(volume.metadata.labels)


def same_mode(volume: Any, claim: Any) -> bool:
    """Whether both are a file system, or both a block device."""
    return bool((volume.spec.volumeMode or "Filesystem") == (claim.spec.volumeMode or "Filesystem"))


def _has_access(volume: Any, claim: Any) -> bool:
    return set(claim.spec.accessModes or ()) <= set(volume.spec.accessModes or ())


def size_of(volume: Any) -> Fraction:
    """The volume's capacity."""
    return storage_of(volume.spec.capacity)


def wanted_size(claim: Any) -> Fraction:
    """What the claim asks for."""
    return storage_of(claim.spec.resources.requests)
