"""DeviceClass: a kind of device that claims can ask for."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from kybern.api.lifecycle import spec_changed
from kybern.api.resource import claims
from kybern.api.table import AGE, NAME, name_and_age
from kybern.api.validation.resources import is_extended

SPEC = Path("spec")


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    claims.validate_selectors(spec.selectors, errors, SPEC.child("selectors"))
    for at, config in claims.each(errors, SPEC.child("config"), spec.config, claims.MOST):
        claims.validate_config(config, errors, at)
    name = spec.extendedResourceName
    if name is not None and not is_extended(name):
        errors.invalid(SPEC.child("extendedResourceName"), name, "must be a valid extended resource name")


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    namespaced=False,
    validate=validate,
    spec_changed=spec_changed,
    columns=(NAME, AGE),
    row=name_and_age,
)
