"""A Deployment's history: which ReplicaSet is the new one, how they are numbered, named and forgotten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.meta import LabelSelector, ObjectMeta
from kybern.reconcile.owners import controller_reference

__all__ = [
    "annotate",
    "annotation_number",
    "find_new",
    "new_replica_set",
    "removable",
    "revision_of",
    "safe_hash",
    "same_template",
]

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
}
HISTORY_LENGTH = 2000
UNLIMITED = 2**31 - 1
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def annotation_number(obj: Any, name: str) -> int:
    """A whole number kept in an annotation; 0 when there is none."""
    text = (obj.metadata.annotations or {}).get(name, "")
    return int(text) if re.fullmatch(r"\d{1,18}", text) else 0


def revision_of(replica_set: Any) -> int:
    """The number of the revision it stands for."""
    return annotation_number(replica_set, REVISION)


def same_template(a: Any, b: Any) -> bool:
    """Whether two pod templates are the same but for the hash label."""
    return a.spec == b.spec and _marks(a) == _marks(b)


def _marks(template: Any) -> tuple[Any, ...]:
    metadata = template.metadata
    labels = {name: value for name, value in (metadata.labels or {}).items() if name != HASH}
    return labels, metadata.annotations or {}, metadata.finalizers or []


def find_new(deployment: Any, replica_sets: Sequence[Any]) -> Any | None:
    """The oldest ReplicaSet with the Deployment's template."""
    template = deployment.spec.template
    fitting = [rs for rs in replica_sets if same_template(rs.spec.template, template)]
    return min(fitting, key=lambda rs: (rs.metadata.creationTimestamp or "", rs.metadata.name), default=None)


def safe_hash(data: bytes, collisions: int) -> str:
    """FNV-1a of the data (and of how often the name was taken), in letters that spell no words."""
    value = 0x811C9DC5
    for byte in data + (collisions.to_bytes(8, "little") if collisions else b""):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))


def new_replica_set(deployment: Any) -> Any:
    """An empty ReplicaSet for the Deployment's template."""
    from kybern.api.apps import ReplicaSet, ReplicaSetSpec

    metadata, spec = deployment.metadata, deployment.spec
    hashed = safe_hash(types.encode(spec.template), deployment.status.collisionCount or 0)
    template = types.copy(spec.template)
    template.metadata.labels = {**(template.metadata.labels or {}), HASH: hashed}
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{metadata.name}-{hashed}",
            namespace=metadata.namespace,
            labels=dict(template.metadata.labels),
            ownerReferences=[controller_reference(deployment)],
        ),
        spec=ReplicaSetSpec(
            replicas=0,
            minReadySeconds=spec.minReadySeconds,
            selector=LabelSelector(
                matchLabels={**(spec.selector.matchLabels or {}), HASH: hashed},
                matchExpressions=spec.selector.matchExpressions,
            ),
            template=template,
        ),
    )


def annotate(deployment: Any, replica_set: Any, revision: int) -> None:
    """Give the ReplicaSet the Deployment's annotations, and the revision's number if that is higher than its own."""
    annotations = dict(replica_set.metadata.annotations or {})
    for name, value in (deployment.metadata.annotations or {}).items():
        if name not in NOT_COPIED:
            annotations[name] = value
    before = annotations.get(REVISION)
    if revision_of(replica_set) < revision:
        annotations[REVISION] = str(revision)
        if before:
            annotations[HISTORY] = _with_history(annotations.get(HISTORY, ""), before)
    replica_set.metadata.annotations = annotations or None


def _with_history(history: str, revision: str) -> str:
    numbers = [*history.split(","), revision] if history else [revision]
    while len(numbers) > 1 and len(",".join(numbers)) > HISTORY_LENGTH:
        numbers.pop(0)
    return ",".join(numbers)


def removable(deployment: Any, old: Sequence[Any]) -> list[Any]:
    """Old ReplicaSets beyond `revisionHistoryLimit`, lowest revision first; one that still has pods stays."""
    limit = deployment.spec.revisionHistoryLimit
    if limit is None or limit == UNLIMITED:
        return []
    known = sorted((rs for rs in old if not rs.metadata.deletionTimestamp), key=_by_revision)
    return [rs for rs in known[: max(0, len(known) - limit)] if _is_empty(rs)]


def _by_revision(replica_set: Any) -> tuple[int, str, str]:
    metadata = replica_set.metadata
    return revision_of(replica_set), metadata.creationTimestamp or "", metadata.name


def _is_empty(replica_set: Any) -> bool:
    seen = (replica_set.status.observedGeneration or 0) >= (replica_set.metadata.generation or 0)
    return seen and not replica_set.status.replicas and replica_set.spec.replicas == 0
