"""IngressClass: which controller serves an Ingress."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.lifecycle import spec_changed
from kybern.api.networking.ingress import validate_reference
from kybern.api.table import AGE, NAME, NONE, age
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_immutable

CONTROLLER_MAX = 250
SCOPES = ("Cluster", "Namespace")
SPEC = Path("spec")


def default(obj: Any) -> None:
    if obj.spec.parameters is not None and obj.spec.parameters.scope is None:
        obj.spec.parameters.scope = "Cluster"


def validate(obj: Any, errors: Errors) -> None:
    path, controller = SPEC.child("controller"), obj.spec.controller or ""
    if len(controller) > CONTROLLER_MAX:
        errors.too_long(path, CONTROLLER_MAX)
    names.domain_prefixed_path(errors, path, controller)
    if obj.spec.parameters is not None:
        _validate_parameters(obj.spec.parameters, errors, SPEC.child("parameters"))


def _validate_parameters(parameters: Any, errors: Errors, path: Path) -> None:
    validate_reference(parameters, errors, path)
    scope, namespace = parameters.scope, parameters.namespace
    if scope is None:
        errors.required(path.child("scope"))
    elif scope not in SCOPES:
        errors.not_supported(path.child("scope"), scope, SCOPES)
    elif scope == "Cluster" and namespace is not None:
        errors.forbidden(path.child("namespace"), "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and namespace is None:
        errors.required(path.child("namespace"), "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        names.add_all(errors, path.child("namespace"), namespace, names.dns1123_label(namespace))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    validate_immutable(errors, SPEC.child("controller"), new.spec.controller, old.spec.controller)


def row(obj: Any, now: float) -> list[Any]:
    parameters, shown = obj.spec.parameters, NONE
    if parameters is not None:
        group = f".{parameters.apiGroup}" if parameters.apiGroup else ""
        shown = f"{parameters.kind}{group}/{parameters.name}"
    return [obj.metadata.name, obj.spec.controller or "", shown, age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    namespaced=False,
    default=default,
    validate=validate,
    validate_update=validate_update,
    spec_changed=spec_changed,
    columns=(
        NAME,
        Column("Controller", description="Controller that is responsible for handling this class"),
        Column("Parameters", description="A reference to a resource with additional parameters"),
        AGE,
    ),
    row=row,
)
