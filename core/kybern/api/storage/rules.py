"""Rules that the storage kinds share: provisioner names and parameters."""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["validate_parameters", "validate_provisioner"]

PARAMETERS_MAX = 512
PARAMETERS_SIZE_MAX = 256 * 1024


def validate_provisioner(name: str, errors: Errors, path: Path) -> None:
    """Who makes the volumes: a qualified name in any case."""
    if not name:
        errors.required(path)
    else:
        names.add_all(errors, path, name.lower(), names.qualified_name(name.lower()))


def validate_parameters(
    parameters: Mapping[str, str] | None, errors: Errors, path: Path, *, needed: bool = False
) -> None:
    """Free settings for the provisioner; keys may not be empty and the total is limited."""
    parameters = parameters or {}
    if len(parameters) > PARAMETERS_MAX:
        errors.too_long(path, PARAMETERS_MAX)
        return
    for key in parameters:
        if not key:
            errors.invalid(path, key, "field can not be empty.")
    if sum(len(k.encode()) + len(v.encode()) for k, v in parameters.items()) > PARAMETERS_SIZE_MAX:
        errors.too_long(path, PARAMETERS_SIZE_MAX)
    if needed and not parameters:
        errors.required(path, "must contain at least one key/value pair")
