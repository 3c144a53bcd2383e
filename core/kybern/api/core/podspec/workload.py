"""What the kinds that keep pods of a template running have in common: selectors, templates, replicas, statuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.api import selectors
from kybern.api.core.podspec.template import validate_template
from kybern.api.core.podspec.warnings import template_warnings
from kybern.api.field import Errors, Path
from kybern.api.kind import Subresource
from kybern.api.validation.selectors import validate_label_selector

__all__ = [
    "IMMUTABLE", "SCALED", "SPEC", "TEMPLATE", "check_counts", "check_replicas", "collisions_only_grow", "is_empty",
    "matcher", "not_negative", "only_always", "read_only_disks", "validate_immutable", "validate_selected_template",
    "validate_selector", "warn",
]  # fmt: skip

SPEC = Path("spec")
TEMPLATE = SPEC.child("template")
SCALED: dict[str, Any] = {
    "subresources": (Subresource("scale", kind="Scale", group="autoscaling", version="v1"), Subresource("status")),
    "scale_paths": ("spec.replicas", "status.replicas", "spec.selector"),
}
"""What a `Kind` says of itself whose replicas can be scaled."""

MORE_THAN_ALL = "cannot be greater than status.replicas"
NO_MATCH = "`selector` does not match template `labels`"
IMMUTABLE = "field is immutable"
ONLY_READING = (
    "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only"
)
NOT_NEGATIVE = "must be greater than or equal to 0"


def not_negative(errors: Errors, path: Path, obj: Any, *fields: str) -> None:
    """The named numbers of an object, where given, are zero or more."""
    for field in fields:
        value = getattr(obj, field)
        if value is not None and value < 0:
            errors.invalid(path.child(field), value, NOT_NEGATIVE)


def validate_immutable(errors: Errors, path: Path, new: Any, old: Any) -> None:
    """The value stays what it was."""
    if new != old:
        errors.invalid(path, new, IMMUTABLE)


def is_empty(selector: Any) -> bool:
    """Whether a LabelSelector says nothing, and so would select everything."""
    return not selector.matchLabels and not selector.matchExpressions


def validate_selector(errors: Errors, path: Path, selector: Any | None, empty_text: str) -> None:
    """A workload's `spec.selector`: given, sound and not empty."""
    if selector is None:
        errors.required(path)
        return
    validate_label_selector(errors, path, selector)
    if is_empty(selector):
        errors.invalid(path, selector, empty_text)


def matcher(selector: Any | None) -> selectors.Selector | None:
    """The selector ready to match, None when it is malformed."""
    found = Errors()
    validate_label_selector(found, Path(), selector)
    return None if found else selectors.from_label_selector(selector)


def validate_selected_template(errors: Errors, path: Path, template: Any, selector: selectors.Selector) -> None:
    """A pod template whose pods the selector must select. `path`: the template."""
    if not selector.matches(template.metadata.labels):
        errors.invalid(path.child("metadata", "labels"), template.metadata.labels, NO_MATCH)
    validate_template(errors, path, template)


def only_always(errors: Errors, path: Path, spec: Any, kind: str) -> None:
    """Pods that a controller keeps running restart always and have no deadline. `path`: the pod spec."""
    if spec.restartPolicy != "Always":
        errors.not_supported(path.child("restartPolicy"), spec.restartPolicy or "", ["Always"])
    if spec.activeDeadlineSeconds is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.forbidden(path.child("activeDeadlineSeconds"), text)


def read_only_disks(errors: Errors, path: Path, volumes: Iterable[Any] | None) -> None:
    """Several pods can share a GCE disk only for reading. `path`: the volumes."""
    for i, volume in enumerate(volumes or ()):
        disk = volume.gcePersistentDisk
        if disk is not None and not disk.readOnly:
            at = path.index(i).child("gcePersistentDisk", "readOnly")
            errors.invalid(at, False, ONLY_READING)


def check_counts(errors: Errors, status: Any, total: int | None, parts: Mapping[str, str]) -> None:
    """No part of the replicas may be more than all. `parts`: field -> text when it is more than `total`."""
    for field, text in parts.items():
        value = getattr(status, field) or 0
        if value > (total or 0):
            errors.invalid(Path("status").child(field), value, text)


def check_replicas(
    errors: Errors, status: Any, *parts: str, more_than_ready: str = "cannot be greater than readyReplicas"
) -> None:
    """No part of the replicas is more than all, nor are more available than ready."""
    check_counts(errors, status, status.replicas, dict.fromkeys(parts, MORE_THAN_ALL))
    check_counts(errors, status, status.readyReplicas, {"availableReplicas": more_than_ready})


def warn(new: Any, old: Any | None) -> list[str]:
    """Warnings about the template."""
    return template_warnings(new.spec.template, TEMPLATE, old.spec.template if old is not None else None)


def collisions_only_grow(errors: Errors, new: Any, old: Any) -> None:
    """`status.collisionCount` is never taken back."""
    before, after = old.status.collisionCount, new.status.collisionCount
    if before is not None and (after or 0) < before:
        errors.invalid("status.collisionCount", after or 0, "cannot be decremented")
