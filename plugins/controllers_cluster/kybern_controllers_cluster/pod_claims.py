"""The claims of pods, as keys: shared by the controllers that follow claims to the pods that use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern.api.storage.classes import claims_of
from kybern.reconcile.interface import Informer, Key

__all__ = ["claim_keys", "index_claims"]


def claim_keys(pod: Any) -> Iterator[Key]:
    """The keys of the claims that a pod uses."""
    return (Key(pod.metadata.namespace, name) for name in claims_of(pod))


def index_claims(pods: Informer[Any]) -> None:
    """Find pods by `namespace/name` of a claim, as index `claim`."""
    pods.add_index("claim", lambda pod: [f"{pod.metadata.namespace}/{name}" for name in claims_of(pod)])
