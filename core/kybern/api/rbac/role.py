"""Role: what may be done within one namespace."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.rbac.rules import GROUP, validate_rules
from kybern.api.table import CREATED_AT, NAME, name_and_creation
from kybern.api.validation import names


def validate(obj: Any, errors: Errors) -> None:
    validate_rules(obj.rules, errors, namespaced=True)


KIND = Kind(
    group=GROUP,
    version="v1",
    kind="Role",
    plural="roles",
    namespaced=True,
    validate=validate,
    name_errors=names.name_path_segment,
    columns=(NAME, CREATED_AT),
    row=name_and_creation,
    allow_create_on_update=True,
)
