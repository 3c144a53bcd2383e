"""Which storage class a claim or volume is of and how large it is, which class is the default, which claims a pod has.

Asked by admission, controllers and the scheduler alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from kybern.api import quantity
from kybern.api.time import parse_time

__all__ = ["CLASS_ANNOTATION", "claims_of", "class_of", "default_class", "has_no_class", "is_default", "storage_of"]

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def class_of(obj: Any) -> str:
    """The name of a claim's or volume's storage class, in its old place or its new one; "" for none."""
    annotated = (obj.metadata.annotations or {}).get(CLASS_ANNOTATION)
    return annotated if annotated is not None else obj.spec.storageClassName or ""


def has_no_class(claim: Any) -> bool:
    """Whether the claim leaves the class open (an empty name is a choice: no class)."""
    return claim.spec.storageClassName is None and CLASS_ANNOTATION not in (claim.metadata.annotations or {})


def is_default(storage_class: Any) -> bool:
    """Whether the class is marked as the one for claims that name none."""
    annotations = storage_class.metadata.annotations or {}
    return any(annotations.get(key) == "true" for key in DEFAULT_ANNOTATIONS)


def default_class(classes: Iterable[Any]) -> Any | None:
    """The default class; of several the newest, then the first by name."""
    return min((c for c in classes if is_default(c)), key=_newest_first, default=None)


def _newest_first(storage_class: Any) -> tuple[float, str]:
    created = storage_class.metadata.creationTimestamp
    return (-parse_time(created) if created else 0.0, storage_class.metadata.name)


def storage_of(amounts: Mapping[str, str] | None) -> Fraction:
    """How much storage a capacity or a request names; 0 when none."""
    return quantity.parse((amounts or {}).get("storage") or "0")


def claims_of(pod: Any) -> Iterator[str]:
    """The names of the claims that a pod uses, those of its ephemeral volumes included, in order."""
    for volume in pod.spec.volumes or ():
        if volume.persistentVolumeClaim is not None:
            yield volume.persistentVolumeClaim.claimName
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.name}-{volume.name}"
