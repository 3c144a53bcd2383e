"""Role: resource `roles.rbac.authorization.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Kind
from kybern.api.table import CREATED_AT, NAME
from kybern.api.validation.names import name_path_segment

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    namespaced=True,
    columns=(
        NAME,
        CREATED_AT,
    ),
    name_errors=name_path_segment,
)
