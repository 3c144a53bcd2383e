"""ClusterRoleBinding: who has a role everywhere."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.rbac import rules
from kybern.api.validation import names


def validate(obj: Any, errors: Errors) -> None:
    rules.validate_binding(obj, errors, ("ClusterRole",), namespaced=False)


KIND = Kind(
    group=rules.GROUP,
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    namespaced=False,
    default=rules.default_binding,
    validate=validate,
    validate_update=rules.validate_binding_update,
    name_errors=names.name_path_segment,
    columns=rules.BINDING_COLUMNS,
    row=rules.binding_row,
    allow_create_on_update=True,
)
