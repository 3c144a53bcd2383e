"""OwnerReferencesPermissionEnforcement (off by default): who binds an object's life to another must be allowed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern_admission_builtin.access import Access
from kybern_admission_builtin.refusal import forbidden

if TYPE_CHECKING:
    from kybern.api.registry import Registry

__all__ = ["OwnerReferencesPermissionEnforcement"]


class OwnerReferencesPermissionEnforcement(Admission):
    """Changing owners needs the right to delete the object; blocking an owner's deletion needs its finalizers."""

    name = "OwnerReferencesPermissionEnforcement"
    order = 170

    def __init__(self, access: Access, registry: Registry) -> None:
        self._access = access
        self._registry = registry

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and subresource != "status"

    async def validate(self, request: AdmissionRequest) -> None:
        new = _references(request.object)
        old = _references(request.old)
        if new == old:
            return
        if request.old is not None and not await self._may_delete(request):
            raise forbidden(request, "cannot set an ownerRef on a resource you can't delete: ")
        blocked = {reference.uid for reference in old if reference.blockOwnerDeletion}
        for reference in new:
            if reference.blockOwnerDeletion and reference.uid not in blocked:
                await self._check_blocking(request, reference)

    async def _may_delete(self, request: AdmissionRequest) -> bool:
        kind = request.kind
        return await self._access.may(
            request.user, "delete", kind.plural, group=kind.group, name=request.name, namespace=request.namespace
        )

    async def _check_blocking(self, request: AdmissionRequest, reference: Any) -> None:
        group, _, version = reference.apiVersion.rpartition("/")
        owner = self._registry.kind(group, version, reference.kind)
        if owner is None:
            why = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for it"
            raise forbidden(request, why)
        allowed = await self._access.may(
            request.user,
            "update",
            owner.plural,
            group=owner.group,
            subresource="finalizers",
            name=reference.name,
            namespace=request.namespace if owner.namespaced else "",
        )
        if not allowed:
            why = "an ownerReference refers to a resource you can't set finalizers on: "
            raise forbidden(request, f"cannot set blockOwnerDeletion if {why}")


def _references(obj: Any | None) -> list[Any]:
    metadata = getattr(obj, "metadata", None)
    return (metadata.ownerReferences or []) if metadata is not None else []
