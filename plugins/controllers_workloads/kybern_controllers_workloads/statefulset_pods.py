"""The identity of a StatefulSet's pods: ordinal, name, labels, host name, and the claims that go with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kybern.api import types
from kybern.reconcile.owners import controller_of, controller_reference
from kybern.reconcile.pods import pod_from_template
from kybern_controllers_workloads.history import HASH_LABEL

__all__ = [
    "claim_name", "claim_references", "claims_are_scaled", "claims_of", "has_identity", "is_claim_of", "is_of_pod",
    "new_pod", "ordinal_of", "revision_of", "wanted_claim_owner", "with_identity",
]  # fmt: skip

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-(\d+)\Z")


def ordinal_of(stateful_set: Any, pod: Any) -> int | None:
    """The pod's number, if its name is one of the set's."""
    found = _NAME.match(pod.metadata.name)
    if not found or found[1] != stateful_set.metadata.name:
        return None
    return int(found[2])


def revision_of(pod: Any) -> str:
    """Name of the revision that the pod was made from."""
    return (pod.metadata.labels or {}).get(HASH_LABEL, "")


def new_pod(stateful_set: Any, template: Any, revision: str, ordinal: int) -> Any:
    """The pod of an ordinal, from a template of that revision."""
    pod = pod_from_template(stateful_set, template)
    pod.spec = types.copy(pod.spec)
    pod.metadata.generateName = None
    pod.metadata.name = f"{stateful_set.metadata.name}-{ordinal}"
    pod.metadata.labels = {**(pod.metadata.labels or {}), HASH_LABEL: revision}
    pod.spec.hostname = pod.metadata.name
    pod.spec.subdomain = stateful_set.spec.serviceName or None
    _give_identity(stateful_set, pod, ordinal)
    return pod


def _give_identity(stateful_set: Any, pod: Any, ordinal: int) -> None:
    from kybern.api.core import PersistentVolumeClaimVolumeSource, Volume

    labels = {**(pod.metadata.labels or {}), POD_NAME: pod.metadata.name, POD_INDEX: str(ordinal)}
    pod.metadata.labels = labels
    templates = stateful_set.spec.volumeClaimTemplates or ()
    claims = {t.metadata.name: claim_name(stateful_set, t, ordinal) for t in templates}
    if not claims:
        return
    others = [v for v in pod.spec.volumes or () if v.name not in claims]
    made = [
        Volume(name=name, persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=claim))
        for name, claim in claims.items()
    ]
    pod.spec.volumes = [*others, *made]


def has_identity(pod: Any, ordinal: int) -> bool:
    """Whether the labels that say who it is are there (an adopted pod may lack them)."""
    labels = pod.metadata.labels or {}
    return labels.get(POD_NAME) == pod.metadata.name and labels.get(POD_INDEX) == str(ordinal)


def with_identity(pod: Any, ordinal: int) -> Any:
    """A copy with these labels."""
    changed = types.copy(pod)
    changed.metadata.labels = {
        **(pod.metadata.labels or {}),
        POD_NAME: pod.metadata.name,
        POD_INDEX: str(ordinal),
    }
    return changed


def claim_name(stateful_set: Any, template: Any, ordinal: int) -> str:
    """`<template>-<set>-<ordinal>`."""
    return f"{template.metadata.name}-{stateful_set.metadata.name}-{ordinal}"


def claims_of(stateful_set: Any, ordinal: int) -> Iterator[Any]:
    """The PersistentVolumeClaims of an ordinal, as they are created."""
    from kybern.api.core import PersistentVolumeClaim

    for template in stateful_set.spec.volumeClaimTemplates or ():
        metadata = types.copy(template.metadata)
        metadata.name = claim_name(stateful_set, template, ordinal)
        metadata.namespace = stateful_set.metadata.namespace
        metadata.labels = {**(metadata.labels or {}), **(stateful_set.spec.selector.matchLabels or {})} or None
        yield PersistentVolumeClaim(metadata=metadata, spec=template.spec)


def is_claim_of(stateful_set: Any, claim: Any) -> bool:
    """Whether the claim has a name that one of the set's ordinals may ask for."""
    stem, _, ordinal = claim.metadata.name.rpartition("-")
    templates = stateful_set.spec.volumeClaimTemplates or ()
    return ordinal.isdigit() and any(stem == f"{t.metadata.name}-{stateful_set.metadata.name}" for t in templates)


def is_of_pod(claim: Any, name: str) -> bool:
    """Whether the claim goes with a pod of this name."""
    return any(r.kind == "Pod" and r.name == name for r in claim.metadata.ownerReferences or ())


def claims_are_scaled(stateful_set: Any) -> bool:
    """Whether claims go when their pods are scaled away."""
    policy = stateful_set.spec.persistentVolumeClaimRetentionPolicy
    return policy is not None and policy.whenScaled == "Delete"


def wanted_claim_owner(stateful_set: Any, pod: Any, condemned: bool) -> Any | None:
    """With whom the claims of a pod go (persistentVolumeClaimRetentionPolicy): the set, the pod, or None, nobody."""
    policy = stateful_set.spec.persistentVolumeClaimRetentionPolicy
    if condemned and claims_are_scaled(stateful_set):
        return pod
    deleted = policy is not None and policy.whenDeleted == "Delete"
    return stateful_set if deleted else None


def claim_references(claim: Any, stateful_set: Any, owner: Any | None) -> list[Any] | None:
    """The claim's owner references as they should be; None when they are."""
    old = claim.metadata.ownerReferences or []
    name = stateful_set.metadata.name
    foreign = [r for r in old if not _is_ours(r, name)]
    if controller_of(claim) is not None and any(r.controller for r in foreign):
        # Somebody else's claim that we only use.
        return None
    wanted = list(foreign)
    if owner is not None:
        wanted.append(controller_reference(owner))
    known = {(r.kind, r.uid) for r in old}
    return None if known == {(r.kind, r.uid) for r in wanted} else wanted


def _is_ours(reference: Any, name: str) -> bool:
    if reference.kind == "StatefulSet":
        return bool(reference.name == name)
    return reference.kind == "Pod" and reference.name.rpartition("-")[0] == name
