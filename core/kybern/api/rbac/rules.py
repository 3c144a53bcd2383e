"""What roles and bindings may say; shared by the four RBAC kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names

__all__ = [
    "BINDING_COLUMNS",
    "GROUP",
    "binding_row",
    "default_binding",
    "validate_binding",
    "validate_binding_update",
    "validate_rules",
]

GROUP = "rbac.authorization.k8s.io"
SUBJECT_KINDS = ("ServiceAccount", "User", "Group")
BOTH = "rules cannot apply to both regular resources and non-resource URLs"


def validate_rules(rules: Sequence[Any] | None, errors: Errors, namespaced: bool) -> None:
    """Each rule is about resources or about URLs, and names what it allows."""
    for i, rule in enumerate(rules or ()):
        path = Path("rules").index(i)
        if not rule.verbs:
            errors.required(path.child("verbs"), "verbs must contain at least one value")
        if rule.nonResourceURLs:
            _validate_urls(rule, errors, path.child("nonResourceURLs"), namespaced)
            continue
        if not rule.apiGroups:
            errors.required(path.child("apiGroups"), "resource rules must supply at least one api group")
        if not rule.resources:
            errors.required(path.child("resources"), "resource rules must supply at least one resource")


def _validate_urls(rule: Any, errors: Errors, path: Path, namespaced: bool) -> None:
    if namespaced:
        errors.invalid(path, rule.nonResourceURLs, "namespaced rules cannot apply to non-resource URLs")
    if rule.apiGroups or rule.resources or rule.resourceNames:
        errors.invalid(path, rule.nonResourceURLs, BOTH)


def default_binding(obj: Any) -> None:
    """Users, groups and roles belong to the RBAC group."""
    obj.roleRef.apiGroup = obj.roleRef.apiGroup or GROUP
    for subject in obj.subjects or ():
        if not subject.apiGroup and subject.kind in ("User", "Group"):
            subject.apiGroup = GROUP


def validate_binding(obj: Any, errors: Errors, role_kinds: Sequence[str], namespaced: bool) -> None:
    """A role that exists as a kind, and subjects of known kinds."""
    path, ref = Path("roleRef"), obj.roleRef
    if ref.apiGroup != GROUP:
        errors.not_supported(path.child("apiGroup"), ref.apiGroup, (GROUP,))
    if ref.kind not in role_kinds:
        errors.not_supported(path.child("kind"), ref.kind, role_kinds)
    if not ref.name:
        errors.required(path.child("name"))
    else:
        names.add_all(errors, path.child("name"), ref.name, names.path_segment(ref.name))
    for i, subject in enumerate(obj.subjects or ()):
        _validate_subject(subject, errors, Path("subjects").index(i), namespaced)


def _validate_subject(subject: Any, errors: Errors, path: Path, namespaced: bool) -> None:
    group = subject.apiGroup or ""
    if not subject.name:
        errors.required(path.child("name"))
    if subject.kind == "ServiceAccount":
        if subject.name:
            names.add_all(errors, path.child("name"), subject.name, names.dns1123_subdomain(subject.name))
        if group:
            errors.not_supported(path.child("apiGroup"), group, ("",))
        if not namespaced and not subject.namespace:
            errors.required(path.child("namespace"))
    elif subject.kind not in SUBJECT_KINDS:
        errors.not_supported(path.child("kind"), subject.kind, SUBJECT_KINDS)
    elif group != GROUP:
        errors.not_supported(path.child("apiGroup"), group, (GROUP,))


def validate_binding_update(new: Any, old: Any, errors: Errors) -> None:
    """Who gets a role may change, the role may not."""
    if new.roleRef != old.roleRef:
        errors.invalid("roleRef", new.roleRef, "cannot change roleRef")


BINDING_COLUMNS = (
    NAME,
    Column("Role", field="RoleBinding.roleRef"),
    AGE,
    Column("Users", priority=1, description="Users in the roleBinding"),
    Column("Groups", priority=1, description="Groups in the roleBinding"),
    Column("ServiceAccounts", priority=1, description="ServiceAccounts in the roleBinding"),
)


def binding_row(obj: Any, now: float) -> list[Any]:
    """A binding in a table."""

    def of(kind: str) -> str:
        found = [s for s in obj.subjects or () if s.kind == kind]
        return ", ".join(f"{s.namespace}/{s.name}" if kind == "ServiceAccount" else s.name for s in found)

    role = f"{obj.roleRef.kind}/{obj.roleRef.name}"
    created = age(obj.metadata.creationTimestamp, now)
    return [obj.metadata.name, role, created, of("User"), of("Group"), of("ServiceAccount")]
