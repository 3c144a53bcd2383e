"""Checks pod templates: labels, annotations and spec of the pods that a controller will make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kybern.api.core.podspec.spec import validate_pod_spec
from kybern.api.field import Errors, Path
from kybern.api.validation import labels

__all__ = ["validate_pod_annotations", "validate_template"]

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def validate_template(errors: Errors, path: Path, template: Any) -> None:
    """A PodTemplateSpec; whether its labels fit a selector is the holder's matter."""
    metadata = template.metadata
    labels.validate_labels(errors, path.child("labels"), metadata.labels)
    labels.validate_annotations(errors, path.child("annotations"), metadata.annotations)
    validate_pod_annotations(errors, path.child("annotations"), metadata.annotations, template.spec)
    validate_pod_spec(errors, path.child("spec"), template.spec, is_pod=False)
    if template.spec.ephemeralContainers:
        at = path.child("spec", "ephemeralContainers")
        errors.forbidden(at, "ephemeral containers not allowed in pod template")


def validate_pod_annotations(errors: Errors, path: Path, annotations: Mapping[str, str] | None, spec: Any) -> None:
    """Annotations that mean something to the cluster itself."""
    annotations = annotations or {}
    mirror = annotations.get(MIRROR)
    if mirror is not None and not spec.nodeName:
        errors.invalid(path.key(MIRROR), mirror, "must set spec.nodeName if mirror pod annotation is set")
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        errors.invalid(path.key(DELETION_COST), cost, "must be a 32bit integer")


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (len(digits) > 1 and digits.startswith("0")) or text == "-0":
        return False
    return -(2**31) <= int(text) < 2**31
