"""ClusterRole: what may be done anywhere; may gather the rules of other cluster roles."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from kybern.api.rbac.rules import GROUP, validate_rules
from kybern.api.table import CREATED_AT, NAME, name_and_creation
from kybern.api.validation import names
from kybern.api.validation.selectors import validate_label_selector


def validate(obj: Any, errors: Errors) -> None:
    validate_rules(obj.rules, errors, namespaced=False)
    if obj.aggregationRule is not None:
        _validate_aggregation(obj.aggregationRule.clusterRoleSelectors or [], errors)


def _validate_aggregation(selectors: list[Any], errors: Errors) -> None:
    path = Path("aggregationRule").child("clusterRoleSelectors")
    if not selectors:
        errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for i, selector in enumerate(selectors):
        before = len(errors)
        validate_label_selector(errors, path.index(i), selector)
        if len(errors) > before:
            errors.invalid(path.index(i), None, "invalid label selector.")


KIND = Kind(
    group=GROUP,
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    namespaced=False,
    validate=validate,
    name_errors=names.name_path_segment,
    columns=(NAME, CREATED_AT),
    row=name_and_creation,
    allow_create_on_update=True,
)
