"""The checks on `metadata` that every write passes, whatever its kind.

The API server calls `validate_object_meta` on create and `validate_object_meta_update` on update,
before the kind's own functions; object templates inside other objects use the same pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from kybern.api.validation import labels, names

__all__ = [
    "IMMUTABLE",
    "validate_finalizers",
    "validate_immutable",
    "validate_non_negative",
    "validate_object_meta",
    "validate_object_meta_update",
    "validate_owner_references",
]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
STANDARD_FINALIZERS = frozenset({"kubernetes", ORPHAN, FOREGROUND})
METADATA = Path("metadata")

_GENERIC_GROUPS = frozenset({"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"})
"""Built-in groups that, like custom resources, let a finalizer have a plain name."""
_CORE_GROUPS = frozenset({"", "apps", "batch", "autoscaling", "policy"})


def _plain_finalizers_allowed(kind: Kind) -> bool:
    if kind.group in _GENERIC_GROUPS:
        return True
    return kind.group not in _CORE_GROUPS and not kind.group.endswith(".k8s.io")


def validate_object_meta(metadata: Any, kind: Kind, errors: Errors, path: Path = METADATA) -> None:
    """Everything about the metadata of a new object. Names are generated before this."""
    _validate_name(metadata, kind, errors, path)
    _validate_namespace(metadata, kind, errors, path)
    validate_non_negative(errors, path.child("generation"), metadata.generation)
    labels.validate_labels(errors, path.child("labels"), metadata.labels)
    labels.validate_annotations(errors, path.child("annotations"), metadata.annotations)
    validate_owner_references(errors, path.child("ownerReferences"), metadata.ownerReferences)
    validate_finalizers(errors, path.child("finalizers"), metadata.finalizers)
    if not _plain_finalizers_allowed(kind):
        _validate_standard_finalizers(errors, path.child("finalizers"), metadata.finalizers)


def validate_object_meta_update(
    new: Any, old: Any, errors: Errors, kind: Kind | None = None, path: Path = METADATA
) -> None:
    """What an update may do to metadata. `new` and `old` are ObjectMeta, or objects that have one."""
    new, old = getattr(new, "metadata", new), getattr(old, "metadata", old)
    if old.deletionTimestamp:
        _validate_no_new_finalizers(new, old, errors, path.child("finalizers"))
    if not new.resourceVersion:
        errors.invalid(path.child("resourceVersion"), "", "must be specified for an update")
    if (new.generation or 0) < (old.generation or 0):
        errors.invalid(path.child("generation"), new.generation or 0, "must not be decremented")
    for field in ("name", "namespace", "uid"):
        _validate_immutable_field(errors, path, field, getattr(new, field) or "", getattr(old, field) or "")
    for field in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        _validate_immutable_field(errors, path, field, getattr(new, field), getattr(old, field))
    # What is as it was stored was found valid then; most updates are of a status, and change none of these.
    if new.labels != old.labels:
        labels.validate_labels(errors, path.child("labels"), new.labels)
    if new.annotations != old.annotations:
        labels.validate_annotations(errors, path.child("annotations"), new.annotations)
    if new.ownerReferences != old.ownerReferences:
        validate_owner_references(errors, path.child("ownerReferences"), new.ownerReferences)
    if kind is not None and not _plain_finalizers_allowed(kind):
        _validate_standard_finalizers(errors, path.child("finalizers"), new.finalizers)


def _validate_immutable_field(errors: Errors, path: Path, field: str, new: Any, old: Any) -> None:
    if new != old:
        validate_immutable(errors, path.child(field), new, old)


def validate_immutable(errors: Errors, path: Path, new: Any, old: Any) -> None:
    """The value may not differ from the stored one."""
    if new != old:
        errors.invalid(path, new, IMMUTABLE)


def validate_non_negative(errors: Errors, path: Path, value: int | None) -> None:
    """The number may not be below zero."""
    if value is not None and value < 0:
        errors.invalid(path, value, NOT_NEGATIVE)


def _validate_name(metadata: Any, kind: Kind, errors: Errors, path: Path) -> None:
    name_errors = kind.name_errors or names.name_dns_subdomain
    if metadata.generateName:
        names.add_all(
            errors, path.child("generateName"), metadata.generateName, name_errors(metadata.generateName, True)
        )
    if not metadata.name:
        errors.required(path.child("name"), "name or generateName is required")
    else:
        names.add_all(errors, path.child("name"), metadata.name, name_errors(metadata.name, False))


def _validate_namespace(metadata: Any, kind: Kind, errors: Errors, path: Path) -> None:
    path = path.child("namespace")
    if not kind.namespaced:
        if metadata.namespace:
            errors.forbidden(path, "not allowed on this type")
    elif not metadata.namespace:
        errors.required(path)
    else:
        names.add_all(errors, path, metadata.namespace, names.dns1123_label(metadata.namespace))


def validate_owner_references(errors: Errors, path: Path, references: Sequence[Any] | None) -> None:
    """Each names its owner fully; at most one is the controller."""
    controller = ""
    for reference in references or ():
        _validate_owner_reference(errors, path, reference)
        if not reference.controller:
            continue
        name = f"{reference.kind}/{reference.name}"
        if controller:
            found = f'Found "true" in references for {controller} and {name}'
            text = f"Only one reference can have Controller set to true. {found}"
            errors.invalid(path, list(references or ()), text)
        controller = controller or name


def _validate_owner_reference(errors: Errors, path: Path, reference: Any) -> None:
    parts = reference.apiVersion.split("/")
    if len(parts) > 2 or not parts[-1]:
        errors.invalid(path.child("apiVersion"), reference.apiVersion, "version must not be empty")
    for field in ("kind", "name", "uid"):
        if not getattr(reference, field):
            errors.invalid(path.child(field), "", "must not be empty")
    if (reference.apiVersion, reference.kind) == ("v1", "Event"):
        errors.invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner")


def validate_finalizers(errors: Errors, path: Path, finalizers: Sequence[str] | None) -> None:
    """Qualified names; the two ways of waiting for dependents exclude each other."""
    finalizers = finalizers or ()
    for finalizer in finalizers:
        names.add_all(errors, path, finalizer, names.qualified_name(finalizer))
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        errors.invalid(path, list(finalizers), f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set")


def _validate_standard_finalizers(errors: Errors, path: Path, finalizers: Sequence[str] | None) -> None:
    for i, finalizer in enumerate(finalizers or ()):
        validate_standard_finalizer(errors, path.index(i), finalizer)


def validate_standard_finalizer(errors: Errors, path: Path, finalizer: str) -> None:
    """A finalizer without a domain must be one that the system knows."""
    if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        errors.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def _validate_no_new_finalizers(new: Any, old: Any, errors: Errors, path: Path) -> None:
    added = sorted(set(new.finalizers or ()) - set(old.finalizers or ()))
    if added:
        listed = ", ".join(f'"{name}"' for name in added)
        errors.forbidden(
            path,
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}",
        )
