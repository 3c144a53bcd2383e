"""NodeRestriction: a kubelet writes its own node, its own pods' status and nothing that would bring it more.

The node authorizer decides by name; what is inside the objects is seen only here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import go_quote
from kybern.api.kind import Kind
from kybern.api.pod_references import pod_references
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.apiserver.user import User
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.node_labels import forbidden_labels
from kybern_admission_builtin.refusal import forbidden

__all__ = ["NodeRestriction"]

PREFIX, NODES = "system:node:", "system:nodes"
LEASES = "kube-node-lease"
MIRROR = "kubernetes.io/config.mirror"
_REFERENCED = {
    "serviceaccounts": "reference a service account",
    "secrets": "reference secrets",
    "configmaps": "reference configmaps",
    "persistentvolumeclaims": "reference persistentvolumeclaims",
    "resourceclaims": "reference resource claims",
}


class NodeRestriction(Admission):
    """Restricts nodes; everybody else passes."""

    name = "NodeRestriction"
    order = 50

    def __init__(self, pods: Lookup[Any], nodes: Lookup[Any]) -> None:
        self._pods = pods
        self._nodes = nodes

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE", "DELETE") and (kind.group, kind.plural) in _RULES

    async def mutate(self, request: AdmissionRequest) -> None:
        node = _node(request.user)
        if node is None:
            return
        if not node:
            raise forbidden(request, f"could not determine node from user {go_quote(request.user.name)}")
        await _RULES[request.kind.group, request.kind.plural](self, node, request)

    async def _pod(self, node: str, request: AdmissionRequest) -> None:
        who = f"node {go_quote(node)}"
        match request.subresource, request.operation:
            case "", "CREATE":
                await self._mirror_pod(node, request)
            case "", "DELETE":
                pod = await self._existing(request)
                if pod.spec.nodeName != node:
                    raise forbidden(request, f"{who} can only delete pods with spec.nodeName set to itself")
            case "status", "UPDATE":
                _check_pod_status(who, node, request)
            case "eviction", "CREATE":
                if (await self._existing(request)).spec.nodeName != node:
                    raise forbidden(request, f"node {node} can only evict pods with spec.nodeName set to itself")
            case "", operation:
                why = f"unexpected operation {go_quote(operation)}, {who} can only create and delete mirror pods"
                raise forbidden(request, why)
            case "status" | "eviction", operation:
                raise forbidden(request, f"unexpected operation {go_quote(operation)}")
            case subresource, _:
                shown = f"unexpected pod subresource {go_quote(subresource)}"
                raise forbidden(request, f"{shown}, only 'status' and 'eviction' are allowed")

    async def _existing(self, request: AdmissionRequest) -> Any:
        pod = request.old if request.old is not None else await self._pods.get(request.name, request.namespace)
        if pod is None:
            raise StatusError.not_found("pods", "", request.name)
        return pod

    async def _mirror_pod(self, node: str, request: AdmissionRequest) -> None:
        pod, who = request.object, f"node {go_quote(node)}"
        if MIRROR not in (pod.metadata.annotations or {}):
            why = f"pod does not have {go_quote(MIRROR)} annotation, {who} can only create mirror pods"
            raise forbidden(request, why)
        if pod.spec.nodeName != node:
            raise forbidden(request, f"{who} can only create pods with spec.nodeName set to itself")
        await self._check_owner(node, request)
        for resource, _ in pod_references(pod):
            raise forbidden(request, f"{who} can not create pods that {_REFERENCED[resource]}")

    async def _check_owner(self, node: str, request: AdmissionRequest) -> None:
        owners, who = request.object.metadata.ownerReferences or [], f"node {go_quote(node)}"
        if len(owners) > 1:
            raise forbidden(request, f"{who} can only create pods with a single owner reference set to itself")
        owner = owners[0] if owners else None
        if owner is None or (owner.apiVersion, owner.kind, owner.name) != ("v1", "Node", node):
            raise forbidden(request, f"{who} can only create pods with an owner reference set to itself")
        if not owner.controller:
            raise forbidden(request, f"{who} can only create pods with a controller owner reference set to itself")
        if owner.blockOwnerDeletion:
            raise forbidden(request, f"{who} must not set blockOwnerDeletion on an owner reference")
        existing = await self._nodes.get(node)
        if existing is None:
            raise StatusError.not_found("nodes", "", node)
        if owner.uid != existing.metadata.uid:
            why = f"node {node} UID mismatch: expected {owner.uid} got {existing.metadata.uid}"
            raise forbidden(request, why)

    async def _node_object(self, node: str, request: AdmissionRequest) -> None:
        who = f"node {go_quote(node)}"
        name = request.object.metadata.name if request.operation == "CREATE" else request.name
        if name != node:
            raise forbidden(request, f"{who} is not allowed to modify node {go_quote(name or '')}")
        if request.operation == "DELETE":
            return
        spec, old = request.object.spec, request.old
        if spec.configSource is not None and (old is None or spec.configSource != old.spec.configSource):
            what = "create pods with" if old is None else "update configSource to a new"
            raise forbidden(request, f"{who} is not allowed to {what} a non-nil configSource")
        if old is not None and (spec.taints or None) != (old.spec.taints or None):
            raise forbidden(request, f"{who} is not allowed to modify taints")
        labels = forbidden_labels(request.object.metadata.labels, old.metadata.labels if old is not None else None)
        if labels and old is None:
            raise forbidden(request, f"{who} is not allowed to set the following labels: {', '.join(labels)}")
        if labels:
            raise forbidden(request, f"is not allowed to modify labels: {', '.join(labels)}")

    async def _claim(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource != "status":
            raise forbidden(request, "may only update PVC status")
        if request.operation != "UPDATE":
            raise forbidden(request, f"unexpected operation {go_quote(request.operation)}")
        if _unreported(request.object) != _unreported(request.old):
            who = f"node {go_quote(node)}"
            fields = "status.capacity and status.conditions"
            raise forbidden(request, f"{who} is not allowed to update fields other than {fields}")

    async def _token(self, node: str, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.subresource != "token":
            return
        bound = request.object.spec.boundObjectRef
        if bound is None or (bound.apiVersion, bound.kind) != ("v1", "Pod") or not bound.name:
            raise forbidden(request, "node requested token not bound to a pod")
        if not bound.uid:
            raise forbidden(request, "node requested token with a pod binding without a uid")
        pod = await self._pods.get(bound.name, request.namespace)
        if pod is None:
            raise StatusError.not_found("pods", "", bound.name)
        if bound.uid != pod.metadata.uid:
            what = f"the UID in the bound object reference ({bound.uid}) does not match the UID in record."
            raise forbidden(request, f"{what} The object might have been deleted and then recreated")
        if pod.spec.nodeName != node:
            raise forbidden(request, "node requested token bound to a pod scheduled on a different node")

    async def _lease(self, node: str, request: AdmissionRequest) -> None:
        if request.namespace != LEASES:
            raise forbidden(request, f"can only access leases in the {go_quote(LEASES)} system namespace")
        self._own(node, request, "node lease")

    async def _csi_node(self, node: str, request: AdmissionRequest) -> None:
        self._own(node, request, "CSINode")

    async def _slice(self, node: str, request: AdmissionRequest) -> None:
        piece = request.object if request.operation == "CREATE" else request.old
        if piece is not None and piece.spec.nodeName != node:
            verb = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete"}[request.operation]
            raise forbidden(request, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")

    def _own(self, node: str, request: AdmissionRequest, what: str) -> None:
        name = request.object.metadata.name if request.operation == "CREATE" else request.name
        if name != node:
            raise forbidden(request, f"can only access {what} with the same name as the requesting node")


def _node(user: User) -> str | None:
    """The node's name; empty when it does not say; None for users that are no nodes."""
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


def _check_pod_status(who: str, node: str, request: AdmissionRequest) -> None:
    old, new = request.old, request.object
    if old.spec.nodeName != node:
        raise forbidden(request, f"{who} can only update pod status for pods with spec.nodeName set to itself")
    if (old.metadata.labels or None) != (new.metadata.labels or None):
        raise forbidden(request, f"{who} cannot update labels through pod status")
    if (old.status.resourceClaimStatuses or None) != (new.status.resourceClaimStatuses or None):
        raise forbidden(request, f"{who} cannot update resource claim statues")


def _unreported(claim: Any) -> dict[str, Any]:
    """The claim without what a node reports, and without bookkeeping."""
    plain: dict[str, Any] = types.to_plain(claim)
    for field in ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"):
        plain.get("status", {}).pop(field, None)
    for field in ("resourceVersion", "managedFields"):
        plain["metadata"].pop(field, None)
    return plain


_RULES: dict[tuple[str, str], Callable[[NodeRestriction, str, AdmissionRequest], Any]] = {
    ("", "pods"): NodeRestriction._pod,
    ("", "nodes"): NodeRestriction._node_object,
    ("", "persistentvolumeclaims"): NodeRestriction._claim,
    ("", "serviceaccounts"): NodeRestriction._token,
    ("coordination.k8s.io", "leases"): NodeRestriction._lease,
    ("storage.k8s.io", "csinodes"): NodeRestriction._csi_node,
    ("resource.k8s.io", "resourceslices"): NodeRestriction._slice,
}
