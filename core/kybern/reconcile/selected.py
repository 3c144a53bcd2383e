"""The objects of an informer that a label selector finds, without looking at all of them.

The index of labels is made when it is first needed, so that who never selects never pays for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api.selectors import Selector
from kybern.reconcile.interface import Informer

__all__ = ["selected"]

_INDEX = "labels"


def selected(informer: Informer[Any], namespace: str, selector: Selector) -> list[Any]:
    """Objects of a namespace ("" for all) whose labels match."""
    key = next((r.key for r in selector.requirements if selector.exact(r.key) is not None), None) if namespace else None
    if key is None:
        return informer.list(namespace, selector.matches)
    informer.add_index(_INDEX, _labels)
    candidates = informer.by_index(_INDEX, f"{namespace}/{key}={selector.exact(key)}")
    return [obj for obj in candidates if selector.matches(obj.metadata.labels)]


def _labels(obj: Any) -> Iterable[str]:
    namespace = obj.metadata.namespace or ""
    return [f"{namespace}/{key}={value}" for key, value in (obj.metadata.labels or {}).items()]
