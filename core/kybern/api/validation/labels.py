"""Rules for labels and annotations, wherever an object carries them."""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["ANNOTATIONS_MAX", "validate_annotations", "validate_label_key", "validate_labels"]

ANNOTATIONS_MAX = 256 * 1024
"""Bytes that all keys and values of one object's annotations may take together."""


def validate_label_key(errors: Errors, path: Path, key: str) -> None:
    """A label's key: a qualified name."""
    names.add_all(errors, path, key, names.qualified_name(key))


def validate_labels(errors: Errors, path: Path, labels: Mapping[str, str] | None) -> None:
    """Keys and values of a label map; errors stand at the map, not at the entry."""
    for key, value in (labels or {}).items():
        validate_label_key(errors, path, key)
        names.add_all(errors, path, value, names.label_value(value))


def validate_annotations(errors: Errors, path: Path, annotations: Mapping[str, str] | None) -> None:
    """Keys are qualified names in any case; values are free, the total is limited."""
    if not annotations:
        return
    for key in annotations:
        names.add_all(errors, path, key, names.qualified_name(key.lower()))
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATIONS_MAX:
        errors.too_long(path, ANNOTATIONS_MAX)
