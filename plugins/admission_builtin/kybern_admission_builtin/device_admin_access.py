"""DeviceAdminAccess: only in namespaces that are labelled for it may claims look past other claims' devices.

The rule is part of upstream's validation of claims (KEP-5018); it stands here because it must see the namespace.
"""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.reconcile.lookup import Lookup

__all__ = ["DeviceAdminAccess"]

LABEL = "resource.kubernetes.io/admin-access"
WHY = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"


class DeviceAdminAccess(Admission):
    """Refuses `adminAccess` elsewhere."""

    name = "DeviceAdminAccess"
    order = 195

    def __init__(self, namespaces: Lookup[Any]) -> None:
        self._namespaces = namespaces

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        claims = kind.group == "resource.k8s.io" and kind.kind in ("ResourceClaim", "ResourceClaimTemplate")
        return operation == "CREATE" and not subresource and claims

    async def validate(self, request: AdmissionRequest) -> None:
        spec = request.object.spec
        devices = spec.spec.devices if request.kind.kind == "ResourceClaimTemplate" else spec.devices
        wanted = [i for i, r in enumerate(devices.requests or ()) if r.exactly is not None and r.exactly.adminAccess]
        if not wanted or await self._is_labelled(request.namespace):
            return
        errors = Errors()
        errors.forbidden(Path("spec").child("devices", "requests").index(wanted[0]).child("adminAccess"), WHY)
        kind, name = request.kind, request.object.metadata.name or ""
        raise StatusError.invalid(kind.kind, kind.group, name, errors)

    async def _is_labelled(self, namespace: str) -> bool:
        found = await self._namespaces.get(namespace)
        return found is not None and (found.metadata.labels or {}).get(LABEL) == "true"
