"""What may change in the spec of an existing pod: on the main path, through `ephemeralcontainers` and `resize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.core.podspec.difference import difference
from kybern.api.core.podspec.gated import validate_gated_update
from kybern.api.core.podspec.totals import qos_class
from kybern.api.field import Errors, Path

__all__ = ["validate_ephemeral_update", "validate_resize", "validate_spec_update"]

SPEC = Path("spec")
DEADLINE_RANGE = "must be between 0 and 2147483647, inclusive"
MUTABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
RESIZABLE = ("cpu", "memory")


def validate_spec_update(new: Any, old: Any, errors: Errors) -> None:
    """The main path: images, deadline, tolerations, gates; nearly nothing else."""
    if not _same_containers(errors, new, old):
        return
    if not _validate_deadline(errors, new.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds):
        return
    _validate_tolerations(errors, SPEC.child("tolerations"), new.spec.tolerations or (), old.spec.tolerations or ())
    _validate_gates(
        errors, SPEC.child("schedulingGates"), new.spec.schedulingGates or (), old.spec.schedulingGates or ()
    )
    if new.spec == old.spec:
        return
    rest = _without_allowed_changes(new.spec, old.spec)
    if old.spec.schedulingGates:
        validate_gated_update(errors, SPEC, rest, old.spec)
    if rest != old.spec:
        text = f"pod updates may not change fields other than {','.join(MUTABLE)}\n{difference(old.spec, rest)}"
        errors.forbidden(SPEC, text)


def _same_containers(errors: Errors, new: Any, old: Any) -> bool:
    for field in ("containers", "initContainers"):
        ours, theirs = getattr(new.spec, field) or (), getattr(old.spec, field) or ()
        if len(ours) != len(theirs):
            errors.forbidden(SPEC.child(field), "pod updates may not add or remove containers")
            return False
    return True


def _validate_deadline(errors: Errors, new: int | None, old: int | None) -> bool:
    path = SPEC.child("activeDeadlineSeconds")
    if new is None:
        if old is not None:
            errors.invalid(path, None, "must not update from a positive integer to nil value")
        return True
    if not 0 <= new < 2**31:
        errors.invalid(path, new, DEADLINE_RANGE)
        return False
    if old is not None and old < new:
        errors.invalid(path, new, "must be less than or equal to previous value")
        return False
    return True


def _validate_tolerations(errors: Errors, path: Path, new: Sequence[Any], old: Sequence[Any]) -> None:
    """Old tolerations stay as they are, but for their seconds; new ones may come."""
    kept = [_unlimited(toleration) for toleration in new]
    if any(_unlimited(toleration) not in kept for toleration in old):
        errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds")


def _unlimited(toleration: Any) -> tuple[Any, ...]:
    return (toleration.key, toleration.operator, toleration.value, toleration.effect)


def _validate_gates(errors: Errors, path: Path, new: Sequence[Any], old: Sequence[Any]) -> None:
    known = {gate.name for gate in old}
    for i, gate in enumerate(new):
        if gate.name not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            errors.forbidden(path.index(i).child("name"), text)


def _without_allowed_changes(new: Any, old: Any) -> Any:
    """The new spec with everything that may change put back to the old value."""
    rest = types.copy(new)
    for field in ("containers", "initContainers"):
        for mine, theirs in zip(getattr(rest, field) or (), getattr(old, field) or (), strict=False):
            mine.image = theirs.image
    rest.activeDeadlineSeconds = old.activeDeadlineSeconds
    rest.tolerations = old.tolerations
    rest.schedulingGates = old.schedulingGates
    if (old.terminationGracePeriodSeconds or 0) < 0 and new.terminationGracePeriodSeconds == 1:
        rest.terminationGracePeriodSeconds = old.terminationGracePeriodSeconds
    return rest


def validate_ephemeral_update(new: Any, old: Any, errors: Errors) -> None:
    """`ephemeralcontainers`: they may be added, never changed or removed."""
    if "kubernetes.io/config.mirror" in (old.metadata.annotations or {}):
        errors.forbidden("", "static pods do not support ephemeral containers")
        return
    path = SPEC.child("ephemeralContainers")
    ours = {container.name: container for container in new.spec.ephemeralContainers or ()}
    for container in old.spec.ephemeralContainers or ():
        found = ours.get(container.name)
        if found is None:
            errors.forbidden(path, f'existing ephemeral containers "{container.name}" may not be removed\n')
        elif found != container:
            text = (
                f'existing ephemeral containers "{container.name}" may not be changed\n{difference(container, found)}'
            )
            errors.forbidden(path, text)


def validate_resize(new: Any, old: Any, errors: Errors) -> None:
    """`resize`: only CPU and memory of containers, and only within the same quality of service."""
    if "kubernetes.io/config.mirror" in (old.metadata.annotations or {}):
        errors.forbidden("", "static pods cannot be resized")
        return
    if old.spec.os is not None and old.spec.os.name == "windows":
        errors.forbidden("", "windows pods cannot be resized")
        return
    if not _same_containers(errors, new, old):
        return
    if qos_class(new.spec) != (old.status.qosClass or qos_class(old.spec)):
        errors.invalid(SPEC, qos_class(new.spec), "Pod QOS Class may not change as a result of resizing")
    _validate_removed(errors, new, old)
    rest = _without_resize(new.spec, old.spec)
    if rest != old.spec:
        errors.forbidden(SPEC, f"only cpu and memory resources are mutable\n{difference(old.spec, rest)}")


def _validate_removed(errors: Errors, new: Any, old: Any) -> None:
    for field in ("containers", "initContainers"):
        for i, (mine, theirs) in enumerate(
            zip(getattr(new.spec, field) or (), getattr(old.spec, field) or (), strict=False)
        ):
            for side in ("limits", "requests"):
                gone = set(getattr(theirs.resources, side) or ()) - set(getattr(mine.resources, side) or ())
                if gone.intersection(RESIZABLE):
                    at = SPEC.child(field).index(i).child("resources", side)
                    errors.forbidden(at, f"resource {side} cannot be removed")


def _without_resize(new: Any, old: Any) -> Any:
    rest = types.copy(new)
    for field in ("containers", "initContainers"):
        for mine, theirs in zip(getattr(rest, field) or (), getattr(old, field) or (), strict=False):
            if field == "initContainers" and theirs.restartPolicy != "Always":
                continue
            for side in ("limits", "requests"):
                _put_back(mine.resources, theirs.resources, side)
            mine.resizePolicy = theirs.resizePolicy
    if rest.resources is not None and old.resources is not None:
        for side in ("limits", "requests"):
            _put_back(rest.resources, old.resources, side)
    return rest


def _put_back(mine: Any, theirs: Any, side: str) -> None:
    new, old = getattr(mine, side) or {}, getattr(theirs, side) or {}
    kept = {name: amount for name, amount in new.items() if name not in RESIZABLE}
    merged = kept | {name: amount for name, amount in old.items() if name in RESIZABLE}
    setattr(mine, side, merged or None)
