"""Checks environment variables and where their values come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation.resources import is_hugepages

__all__ = ["VOLUME_FIELDS", "validate_env", "validate_env_from", "validate_field_ref", "validate_resource_ref"]

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_CONVERTIBLE = {
    *ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase",
}  # fmt: skip
RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_PRINTABLE = re.compile(r"[ -<>-~]+").fullmatch
_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]", re.DOTALL)

NOT_PRINTABLE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
ONE_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
ONLY_ONE = "may not have more than one field specified at a time"


def _name_faults(name: str) -> list[str]:
    return [] if _PRINTABLE(name) else [NOT_PRINTABLE]


def validate_env(errors: Errors, path: Path, variables: Sequence[Any] | None) -> None:
    """A container's `env`."""
    for i, variable in enumerate(variables or ()):
        at = path.index(i)
        if not variable.name:
            errors.required(at.child("name"))
        else:
            names.add_all(errors, at.child("name"), variable.name, _name_faults(variable.name))
        if variable.valueFrom is not None:
            _validate_source(errors, at.child("valueFrom"), variable)


def _validate_source(errors: Errors, path: Path, variable: Any) -> None:
    source = variable.valueFrom
    count = 0
    for name, check in _SOURCES.items():
        reference = getattr(source, name)
        if reference is not None:
            count += 1
            check(errors, path.child(name), reference)
    if not count:
        errors.invalid(path, "", ONE_SOURCE)
    elif variable.value:
        errors.invalid(path, "", "may not be specified when `value` is not empty")
    elif count > 1:
        errors.invalid(path, "", ONLY_ONE)


def validate_field_ref(errors: Errors, path: Path, reference: Any, fields: Sequence[str] = ENV_FIELDS) -> None:
    """A reference to a field of the pod itself."""
    if not reference.apiVersion:
        errors.required(path.child("apiVersion"))
        return
    field = reference.fieldPath
    path_of_field = path.child("fieldPath")
    if not field:
        errors.required(path_of_field)
        return
    subscripted = _SUBSCRIPT.fullmatch(field)
    if reference.apiVersion != "v1":
        problem = f"unsupported pod version: {reference.apiVersion}"
        errors.invalid(path_of_field, field, f"error converting fieldPath: {problem}")
    elif subscripted and subscripted[1] in ("metadata.annotations", "metadata.labels"):
        key = subscripted[2].lower() if subscripted[1] == "metadata.annotations" else subscripted[2]
        names.add_all(errors, path, key, names.qualified_name(key))
    elif subscripted or field not in {*_CONVERTIBLE, "spec.host"}:
        errors.invalid(path_of_field, field, f"error converting fieldPath: field label not supported: {field}")
    elif field not in fields and not (field == "spec.host" and "spec.nodeName" in fields):
        errors.not_supported(path_of_field, field, sorted(fields))


def validate_resource_ref(errors: Errors, path: Path, reference: Any, *, needs_container: bool = False) -> None:
    """A reference to a container's requests or limits."""
    resource = reference.resource
    if needs_container and not reference.containerName:
        errors.required(path.child("containerName"))
    elif not resource:
        errors.required(path.child("resource"))
    elif resource not in RESOURCES and not is_hugepages(resource.partition(".")[2]):
        errors.not_supported(path.child("resource"), resource, RESOURCES)
    _validate_divisor(errors, path.child("divisor"), resource, reference.divisor or "0")


def _validate_divisor(errors: Errors, path: Path, resource: str, divisor: str) -> None:
    kind = resource.partition(".")[2]
    if divisor == "0" or resource.partition(".")[0] not in ("limits", "requests"):
        return
    if kind == "cpu":
        if divisor not in ("1m", "1"):
            errors.invalid(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource")
        return
    words = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(kind)
    words = "hugepages" if is_hugepages(kind) else words
    if words and divisor not in _SIZES:
        errors.invalid(
            path, resource, f"only divisor's values {', '.join(_SIZES)} are supported with the {words} resource"
        )


def _validate_key_ref(errors: Errors, path: Path, reference: Any) -> None:
    name = reference.name or ""
    names.add_all(errors, path.child("name"), name, names.dns1123_subdomain(name))
    if not reference.key:
        errors.required(path.child("key"))
    else:
        names.add_all(errors, path.child("key"), reference.key, names.config_map_key(reference.key))


def _validate_file_ref(errors: Errors, path: Path, reference: Any) -> None:
    if not reference.key:
        errors.required(path.child("key"))
    else:
        names.add_all(errors, path.child("key"), reference.key, _name_faults(reference.key))
    if not reference.volumeName:
        errors.required(path.child("volumeName"))
    else:
        names.add_all(errors, path.child("volumeName"), reference.volumeName, names.dns1123_label(reference.volumeName))
    if not reference.path:
        errors.required(path.child("path"))
    elif reference.path.startswith("/"):
        errors.invalid(path.child("path"), reference.path, "must be a relative path")
    elif ".." in reference.path.split("/"):
        errors.invalid(path.child("path"), reference.path, "must not contain '..'")


_SOURCES: dict[str, Any] = {
    "fieldRef": validate_field_ref,
    "resourceFieldRef": validate_resource_ref,
    "configMapKeyRef": _validate_key_ref,
    "secretKeyRef": _validate_key_ref,
    "fileKeyRef": _validate_file_ref,
}


def validate_env_from(errors: Errors, path: Path, sources: Sequence[Any] | None) -> None:
    """A container's `envFrom`."""
    for i, source in enumerate(sources or ()):
        at = path.index(i)
        if source.prefix:
            names.add_all(errors, at.child("prefix"), source.prefix, _name_faults(source.prefix))
        given = [name for name in ("configMapRef", "secretRef") if getattr(source, name) is not None]
        for name in given:
            _validate_env_source(errors, at.child(name, "name"), getattr(source, name).name)
        if not given:
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            errors.invalid(path, "", ONLY_ONE)


def _validate_env_source(errors: Errors, path: Path, name: str | None) -> None:
    if not name:
        errors.required(path)
    else:
        names.add_all(errors, path, name, names.dns1123_subdomain(name))
