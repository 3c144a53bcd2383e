"""The node authorizer: a kubelet reads what its pods need and writes what it reports, nothing else.

Some resources depend on who asks for which object (`_ASKED`); the rest follows the rules of the
default cluster role `system:node`. What a node writes into its objects is NodeRestriction's part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kybern.apiserver.authorization import Attributes, Authorizer, Decision, Rules
from kybern.apiserver.user import User
from kybern_auth_builtin.default_policy import node_rules
from kybern_auth_builtin.node_references import NodeReferences

if TYPE_CHECKING:
    from kybern.reconcile.informers import Informers

__all__ = ["NodeAuthorizer", "node_name"]

PREFIX = "system:node:"
NODES = "system:nodes"
_LEASES = "kube-node-lease"
_OWN_VERBS = ("get", "create", "update", "patch", "delete")

Verdict = str | None
"""None allows; a text says why not (or, empty, that the rules do not know)."""


def node_name(user: User) -> str | None:
    """The node a user is; empty for one that does not say which; None for users that are no nodes."""
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


class NodeAuthorizer(Authorizer):
    """Allows nodes what they need; has no opinion on others."""

    name = "node"
    order = 50

    def __init__(self, informers: Informers) -> None:
        self._informers = informers
        self._references: NodeReferences | None = None
        self._rules = node_rules()

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        node = node_name(attributes.user)
        if node is None:
            return Decision.NO_OPINION, ""
        if not node:
            return Decision.NO_OPINION, f'unknown node for user "{attributes.user.name}"'
        verdict = self._judge(node, attributes)
        return (Decision.ALLOW, "") if verdict is None else (Decision.NO_OPINION, verdict)

    def rules(self, user: User, namespace: str) -> Rules:
        if node_name(user) is None:
            return Rules()
        return Rules(incomplete=True, error="node authorizer does not support user rule resolution")

    def _judge(self, node: str, a: Attributes) -> Verdict:
        asked = _ASKED.get((a.group, a.resource)) if a.resource_request else None
        if asked is not None:
            return asked(self, node, a)
        return None if self._by_rules(a) else ""

    def _by_rules(self, a: Attributes) -> bool:
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        return a.resource_request and (a.verb, a.group, resource) in self._rules

    def _related(self, node: str, a: Attributes) -> Verdict:
        if not a.name:
            return "No Object name found"
        if self._references is None:
            self._references = NodeReferences(self._informers)
        if self._references.related(node, a.resource, a.namespace, a.name):
            return None
        return f"no relationship found between node '{node}' and this object"

    def _read_named(self, node: str, a: Attributes) -> Verdict:
        """Secrets and config maps: one by one, also as a watch on one."""
        if a.verb not in ("get", "list", "watch"):
            return "can only read resources of this type"
        if a.subresource:
            return "cannot read subresource"
        if not a.namespace:
            return "can only read namespaced object of this type"
        return self._related(node, a)

    def _get(self, node: str, a: Attributes) -> Verdict:
        if a.verb != "get":
            return "can only get individual resources of this type"
        if a.subresource:
            return "cannot get subresource"
        return self._related(node, a)

    def _claim(self, node: str, a: Attributes) -> Verdict:
        if a.subresource != "status":
            return self._get(node, a)
        if a.verb not in ("update", "patch"):
            return "can only get/update/patch this type"
        return self._related(node, a)

    def _account(self, node: str, a: Attributes) -> Verdict:
        if a.verb == "get" and not a.subresource:
            return self._related(node, a)
        if a.verb != "create" or not a.name:
            return "can only create tokens for individual service accounts"
        if a.subresource != "token":
            return "can only create token subresource of serviceaccount"
        return self._related(node, a)

    def _lease(self, node: str, a: Attributes) -> Verdict:
        if a.verb not in _OWN_VERBS:
            return "can only get, create, update, patch, or delete a node lease"
        if a.namespace != _LEASES:
            return f'can only access leases in the "{_LEASES}" system namespace'
        if a.verb != "create" and a.name != node:
            return "can only access node lease with the same name as the requesting node"
        return None

    def _csi_node(self, node: str, a: Attributes) -> Verdict:
        if a.verb not in _OWN_VERBS:
            return "can only get, create, update, patch, or delete a CSINode"
        if a.subresource:
            return "cannot authorize CSINode subresources"
        if a.verb != "create" and a.name != node:
            return "can only access CSINode with the same name as the requesting node"
        return None

    def _slice(self, node: str, a: Attributes) -> Verdict:
        if a.subresource:
            return "cannot authorize ResourceSlice subresources"
        if a.verb == "create":
            return None
        if a.verb in ("get", "update", "patch", "delete"):
            return self._related(node, a)
        if a.verb in ("list", "watch", "deletecollection"):
            selected = _selects(a, "spec.nodeName", node) or _selects(a, "nodeName", node)
            why = "can only list/watch/deletecollection resourceslices with nodeName field selector"
            return None if selected else why
        return (
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _node(self, node: str, a: Attributes) -> Verdict:
        if a.subresource == "status":
            return None if a.verb in ("update", "patch") else ""
        if a.subresource or a.verb not in ("create", "update", "patch", "get", "list", "watch"):
            return ""
        if a.verb in ("create", "update", "patch") or a.name == node or _selects(a, "metadata.name", node):
            return None
        whose = f"'{a.name}'" if a.name else "all nodes"
        return f"node '{node}' cannot read {whose}, only its own Node object"

    def _pod(self, node: str, a: Attributes) -> Verdict:
        allowed = {"": ("create", "delete"), "status": ("update", "patch"), "eviction": ("create",)}
        if a.verb in allowed.get(a.subresource, ()):
            return None
        if a.subresource:
            return ""
        if a.verb == "get":
            return self._get(node, a)
        if a.verb not in ("list", "watch"):
            return ""
        if _selects(a, "spec.nodeName", node):
            return None
        return self._related(node, a) if a.name else "can only list/watch pods with spec.nodeName field selector"


def _selects(a: Attributes, field: str, value: str) -> bool:
    """Whether the field selector restricts the request to objects of this value."""
    wanted = {f"{field}={value}", f"{field}=={value}"}
    return any(term.strip() in wanted for term in a.field_selector.split(","))


_ASKED: dict[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], Verdict]] = {
    ("", "secrets"): NodeAuthorizer._read_named,
    ("", "configmaps"): NodeAuthorizer._read_named,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._get,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._get,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._get,
    ("", "serviceaccounts"): NodeAuthorizer._account,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._slice,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
}
