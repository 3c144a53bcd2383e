"""Role-based access control: who may do what, from Roles, ClusterRoles and their bindings.

`Grants` keeps the bindings by subject and merges everything that applies to one user in one
namespace into an index by resource, made once and kept until a role or binding changes; a decision
is then two or three dictionary look-ups. `RBACAuthorizer` feeds it from the shared informers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import attrs

from kybern.api.errors import StatusError
from kybern.api.field import go_quote
from kybern.apiserver.authorization import Attributes, Authorizer, Decision, Rules
from kybern.apiserver.user import User
from kybern_auth_builtin.rules import Rule, path_matches

if TYPE_CHECKING:
    from kybern.reconcile.informers import Informers

__all__ = ["Grants", "RBACAuthorizer", "RoleRef", "grants"]

_REMEMBERED = 2048
"""How many (user, namespace) indexes to keep; beyond, all are forgotten and made again as needed."""


class RoleRef(NamedTuple):
    """Which role: `namespace` is empty for a ClusterRole."""

    namespace: str
    name: str


class _Grant(NamedTuple):
    """One subject's line in one binding."""

    role: RoleRef
    reason: str


class _Right(NamedTuple):
    """What one rule says about one resource."""

    verbs: frozenset[str]
    groups: frozenset[str]
    names: frozenset[str]
    reason: str


@attrs.define
class _Effective:
    """Everything that applies to one user in one namespace."""

    rights: dict[str, list[_Right]] = attrs.field(factory=lambda: defaultdict(list))
    paths: list[tuple[str, frozenset[str], str]] = attrs.field(factory=list)
    problems: str = ""


class Grants:
    """The roles and bindings as they are now, and what follows from them."""

    def __init__(self) -> None:
        self._roles: dict[RoleRef, tuple[Rule, ...]] = {}
        self._bindings: dict[tuple[str, str, str], dict[tuple[str, str], _Grant]] = defaultdict(dict)
        self._effective: dict[tuple[str, tuple[str, ...], str], _Effective] = {}

    def change_role(self, old: Any | None, new: Any | None) -> None:
        """A Role or ClusterRole came (old None), changed or went (new None)."""
        self._effective.clear()
        if old is not None:
            self._roles.pop(RoleRef(old.metadata.namespace or "", old.metadata.name), None)
        if new is not None:
            ref = RoleRef(new.metadata.namespace or "", new.metadata.name)
            self._roles[ref] = tuple(Rule.of(rule) for rule in new.rules or ())

    def change_binding(self, old: Any | None, new: Any | None) -> None:
        """A RoleBinding or ClusterRoleBinding came, changed or went."""
        self._effective.clear()
        for binding in (old, new):
            if binding is None:
                continue
            key = (binding.metadata.namespace or "", binding.metadata.name)
            for subject in binding.subjects or ():
                kind, name = _subject(subject, key[0])
                grants = self._bindings[kind, name, key[0]]
                grants.pop(key, None)
                if binding is new:
                    grants[key] = _Grant(_role_ref(binding), _describe(binding, subject))
                elif not grants:
                    del self._bindings[kind, name, key[0]]

    def rules_of(self, role: RoleRef) -> tuple[Rule, ...]:
        """The rules of a role; StatusError 404 when there is none."""
        rules = self._roles.get(role)
        if rules is None:
            plural = "roles" if role.namespace else "clusterroles"
            raise StatusError.not_found(plural, "rbac.authorization.k8s.io", role.name)
        return rules

    def rules_for(self, user: User, namespace: str) -> Iterator[Rule]:
        """Every rule that applies to the user, cluster-wide and in the namespace."""
        for grant in self._grants(user.name, user.groups, namespace):
            yield from self._roles.get(grant.role, ())

    def problems_for(self, user: User, namespace: str) -> str:
        """What is wrong with bindings of this user: roles that do not exist."""
        return self._of(user, namespace).problems

    def decide(self, a: Attributes) -> tuple[bool, str]:
        """Whether a rule allows it, and by which binding (or why we cannot be sure)."""
        effective = self._of(a.user, a.namespace if a.resource_request else "")
        if not a.resource_request:
            return _decide_path(effective, a)
        rights = effective.rights
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        for key in (resource, "*", f"*/{a.subresource}") if a.subresource else (resource, "*"):
            for verbs, groups, names, reason in rights.get(key, ()):
                if (
                    (a.verb in verbs or "*" in verbs)
                    and (a.group in groups or "*" in groups)
                    and (not names or a.name in names)
                ):
                    return True, reason
        return False, effective.problems

    def _of(self, user: User, namespace: str) -> _Effective:
        key = (user.name, user.groups, namespace)
        effective = self._effective.get(key)
        if effective is None:
            if len(self._effective) >= _REMEMBERED:
                self._effective.clear()
            effective = self._effective[key] = self._merge(*key)
        return effective

    def _merge(self, name: str, groups: tuple[str, ...], namespace: str) -> _Effective:
        effective = _Effective()
        missing: dict[str, None] = {}
        for role, reason in self._grants(name, groups, namespace):
            rules = self._roles.get(role)
            if rules is None:
                kind = "role" if role.namespace else "clusterrole"
                missing[f"{kind}.rbac.authorization.k8s.io {go_quote(role.name)} not found"] = None
                continue
            for rule in rules:
                _add(effective, rule, reason)
        if missing:
            text = ", ".join(missing)
            effective.problems = f"RBAC: {text}" if len(missing) == 1 else f"RBAC: [{text}]"
        return effective

    def _grants(self, name: str, groups: Iterable[str], namespace: str) -> Iterator[_Grant]:
        subjects = [("User", name), *(("Group", group) for group in groups)]
        for scope in ("", namespace) if namespace else ("",):
            for kind, subject in subjects:
                if grants := self._bindings.get((kind, subject, scope)):
                    for key in sorted(grants):
                        yield grants[key]


def _add(effective: _Effective, rule: Rule, reason: str) -> None:
    right = _Right(frozenset(rule.verbs), frozenset(rule.api_groups), frozenset(rule.resource_names), reason)
    for resource in rule.resources:
        effective.rights[resource].append(right)
    for url in rule.urls:
        effective.paths.append((url, right.verbs, reason))


def _decide_path(effective: _Effective, a: Attributes) -> tuple[bool, str]:
    for pattern, verbs, reason in effective.paths:
        if (a.verb in verbs or "*" in verbs) and path_matches(pattern, a.path):
            return True, reason
    return False, effective.problems


def _subject(subject: Any, namespace: str) -> tuple[str, str]:
    """Service accounts are users of a special name, so two kinds remain."""
    if subject.kind == "ServiceAccount":
        return "User", f"system:serviceaccount:{subject.namespace or namespace}:{subject.name}"
    return subject.kind, subject.name


def _role_ref(binding: Any) -> RoleRef:
    cluster = binding.roleRef.kind == "ClusterRole"
    return RoleRef("" if cluster else binding.metadata.namespace or "", binding.roleRef.name)


def _describe(binding: Any, subject: Any) -> str:
    namespace = binding.metadata.namespace
    name = f"{binding.metadata.name}/{namespace}" if namespace else binding.metadata.name
    who = subject.name
    if subject.kind == "ServiceAccount" and (subject.namespace or namespace):
        who = f"{subject.name}/{subject.namespace or namespace}"
    role = f"{binding.roleRef.kind} {go_quote(binding.roleRef.name)}"
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return f"RBAC: allowed by {kind} {go_quote(name)} of {role} to {subject.kind} {go_quote(who)}"


class RBACAuthorizer(Authorizer):
    """Allows what a rule allows; has no opinion on the rest."""

    name = "rbac"
    order = 100

    def __init__(self, grants: Grants) -> None:
        self.grants = grants

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        allowed, reason = self.grants.decide(attributes)
        return (Decision.ALLOW if allowed else Decision.NO_OPINION), reason

    def rules(self, user: User, namespace: str) -> Rules:
        resource_rules, path_rules = [], []
        for rule in self.grants.rules_for(user, namespace):
            if rule.resources:
                shown = {"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources}
                if rule.resource_names:
                    shown["resourceNames"] = rule.resource_names
                resource_rules.append({name: list(values) for name, values in shown.items()})
            if rule.urls:
                path_rules.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.urls)})
        return Rules(resource_rules, path_rules, error=self.grants.problems_for(user, namespace).removeprefix("RBAC: "))


def grants(informers: Informers) -> Grants:
    """The cluster's grants, followed through the shared informers. One per set of informers."""
    from kybern.api.rbac import ClusterRole, ClusterRoleBinding, Role, RoleBinding

    known = _FOLLOWED.get(informers)
    if known is not None:
        return known
    followed = _FOLLOWED[informers] = Grants()
    informers.informer(Role).on_change(followed.change_role)
    informers.informer(ClusterRole).on_change(followed.change_role)
    informers.informer(RoleBinding).on_change(followed.change_binding)
    informers.informer(ClusterRoleBinding).on_change(followed.change_binding)
    return followed


_FOLLOWED: WeakKeyDictionary[Informers, Grants] = WeakKeyDictionary()
"""Hooks are called one by one; authorizer and escalation check share the grants of their cluster."""
