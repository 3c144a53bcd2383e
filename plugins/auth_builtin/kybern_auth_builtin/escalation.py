"""Nobody hands on rights that he does not have: the check on every write of a role or binding.

A role may hold only rules that its writer has, unless he may `escalate`; a binding may give only what
its writer has, unless he may `bind` that role. (Kubernetes docs, RBAC, "Privilege escalation
prevention".) It looks at the object as it will be stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import go_quote
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.apiserver.authorization import Attributes
from kybern.apiserver.user import User
from kybern_auth_builtin.masters import MASTERS
from kybern_auth_builtin.rbac import Grants, RoleRef
from kybern_auth_builtin.rules import Rule, compact, covers, quoted

__all__ = ["EscalationCheck"]

GROUP = "rbac.authorization.k8s.io"
_ROLES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",)))
_BOOKKEEPING = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


class EscalationCheck(Admission):
    """Refuses what would give its writer, or his friends, more than he has."""

    name = "RBACEscalation"
    order = 850

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return kind.group == GROUP and kind.kind in (*_ROLES, *_BINDINGS) and operation in ("CREATE", "UPDATE")

    async def validate(self, request: AdmissionRequest) -> None:
        if MASTERS in request.user.groups or _only_bookkeeping(request.object, request.old):
            return
        if request.kind.kind in _ROLES:
            self._check_role(request)
        else:
            self._check_binding(request)

    def _check_role(self, request: AdmissionRequest) -> None:
        role = request.object
        # Upstream does not know the name yet when a role is created, so a right for one name is for updates only.
        name = request.name if request.operation == "UPDATE" else ""
        if self._may(request, "escalate", request.kind.plural, name):
            return
        missing = self._missing(request, [Rule.of(rule) for rule in role.rules or ()])
        if missing:
            raise _refusal(request, missing)
        aggregation = getattr(role, "aggregationRule", None)
        before = getattr(request.old, "aggregationRule", None)
        if aggregation is not None and aggregation != before and self._missing(request, _EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise StatusError.forbidden(request.kind.plural, GROUP, role.metadata.name or "", why)

    def _check_binding(self, request: AdmissionRequest) -> None:
        reference = request.object.roleRef
        cluster = reference.kind == "ClusterRole"
        if self._may(request, "bind", "clusterroles" if cluster else "roles", reference.name):
            return
        role = RoleRef("" if cluster else request.namespace, reference.name)
        missing = self._missing(request, self._grants.rules_of(role))
        if missing:
            raise _refusal(request, missing)

    def _missing(self, request: AdmissionRequest, rules: Iterable[Rule]) -> list[Rule]:
        return covers(self._grants.rules_for(request.user, request.namespace), rules)

    def _may(self, request: AdmissionRequest, verb: str, resource: str, name: str) -> bool:
        """Upstream asks about roles with the namespace of the request, also for cluster roles."""
        asked = Attributes(
            request.user, verb, group=GROUP, version="v1", resource=resource, namespace=request.namespace, name=name
        )
        return self._grants.decide(asked)[0]


def _only_bookkeeping(new: Any, old: Any | None) -> bool:
    """Whether an update touches only what the garbage collector needs to delete the object."""
    if old is None:
        return False
    before, after = types.to_plain(old), types.to_plain(new)
    for plain in (before, after):
        for field in _BOOKKEEPING:
            plain["metadata"].pop(field, None)
    return bool(before == after)


def _refusal(request: AdmissionRequest, missing: list[Rule]) -> StatusError:
    rules = "\n".join(sorted({str(rule) for rule in compact(missing)}))
    why = f"{_who(request.user)} is attempting to grant RBAC permissions not currently held:\n{rules}"
    return StatusError.forbidden(request.kind.plural, GROUP, request.object.metadata.name or "", why)


def _who(user: User) -> str:
    return f"user {go_quote(user.name)} (groups={quoted(user.groups)})"
