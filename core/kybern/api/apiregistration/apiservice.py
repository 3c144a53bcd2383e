"""APIService: who serves one version of an API group: this server, or another behind a service."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.lifecycle import keep_other_half
from kybern.api.table import AGE, NAME, age
from kybern.api.time import format_time
from kybern.api.validation import names, ports

SPEC = Path("spec")
HIGHEST_GROUP_PRIORITY, HIGHEST_VERSION_PRIORITY = 20000, 1000
HTTPS_PORT = 443


def default(obj: Any) -> None:
    if obj.spec.service is not None and obj.spec.service.port is None:
        obj.spec.service.port = HTTPS_PORT


def prepare_create(obj: Any, context: WriteContext) -> None:
    """What this server serves itself is available at once."""
    obj.status = type(obj)().status
    if obj.spec.service is not None:
        return
    from kybern.api.apiregistration import APIServiceCondition

    condition = APIServiceCondition(type="Available", status="True", reason="Local")
    condition.message = "Local APIServices are always available"
    condition.lastTransitionTime = format_time(context.now)
    obj.status.conditions = [condition]


def validate(obj: Any, errors: Errors) -> None:
    spec = obj.spec
    group, version, name = spec.group or "", spec.version or "", obj.metadata.name or ""
    if name and name != f"{version}.{group}":
        errors.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{version}.{group}"')
    if not group and version != "v1":
        errors.required(SPEC.child("group"), "only v1 may have an empty group and it better be legacy kube")
    if group:
        names.add_all(errors, SPEC.child("group"), group, names.dns1123_subdomain(group))
    names.add_all(errors, SPEC.child("version"), version, names.dns1035_label(version))
    for field, most in (
        ("groupPriorityMinimum", HIGHEST_GROUP_PRIORITY),
        ("versionPriority", HIGHEST_VERSION_PRIORITY),
    ):
        priority = getattr(spec, field)
        if not 0 < priority <= most:
            errors.invalid(SPEC.child(field), priority, f"must be positive and less than {most}")
    _validate_backend(spec, errors)


def _validate_backend(spec: Any, errors: Errors) -> None:
    service, insecure = spec.service, SPEC.child("insecureSkipTLSVerify")
    if service is None:
        if spec.caBundle:
            text = "local APIServices may not have a caBundle"
            errors.invalid(SPEC.child("caBundle"), f"{len(spec.caBundle)} bytes", text)
        if spec.insecureSkipTLSVerify:
            errors.invalid(insecure, True, "local APIServices may not have insecureSkipTLSVerify")
        return
    path = SPEC.child("service")
    for field in ("namespace", "name"):
        if not getattr(service, field):
            errors.required(path.child(field))
    if service.port is not None:
        faults = [f"port is not valid: {fault}" for fault in ports.port_number(service.port)]
        names.add_all(errors, path.child("port"), service.port, faults)
    if spec.insecureSkipTLSVerify and spec.caBundle:
        errors.invalid(insecure, True, "may not be true if caBundle is present")


def row(obj: Any, now: float) -> list[Any]:
    service = obj.spec.service
    served_by = "Local" if service is None else f"{service.namespace}/{service.name}"
    condition = next((c for c in obj.status.conditions or () if c.type == "Available"), None)
    available = "Unknown"
    if condition is not None:
        available = "True" if condition.status == "True" else f"{condition.status} ({condition.reason})"
    return [obj.metadata.name, served_by, available, age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    namespaced=False,
    categories=("api-extensions",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_other_half,
    validate=validate,
    name_errors=lambda name, prefix: [],
    columns=(
        NAME,
        Column("Service", description="The reference to the service that hosts this API endpoint."),
        Column("Available", description="Whether this service is available."),
        AGE,
    ),
    row=row,
    unconditional_update=False,
)
