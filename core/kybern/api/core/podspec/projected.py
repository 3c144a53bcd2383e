"""Checks volumes that are made of files: keys of ConfigMaps and Secrets, fields of the pod, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api import types
from kybern.api.core.podspec.env import VOLUME_FIELDS, validate_field_ref, validate_resource_ref
from kybern.api.core.podspec.mounts import validate_descending_path
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["validate_downward_file", "validate_items", "validate_mode", "validate_projected"]

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
SHORTEST_TOKEN = 600
KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
SHORTEST_CERTIFICATE = 3600
LONGEST_CERTIFICATE = 91 * 24 * 3600
REMEMBERED = 256
_sound: set[bytes] = set()


def validate_mode(errors: Errors, path: Path, mode: int | None) -> None:
    """A file mode, when one is given."""
    if mode is not None and not 0 <= mode <= 0o777:
        errors.invalid(path, mode, MODE_TEXT)


def validate_file_path(errors: Errors, path: Path, value: str) -> None:
    """Where a file of the volume goes; names that start with `..` belong to the kubelet."""
    validate_descending_path(errors, path, value)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")


def validate_items(errors: Errors, path: Path, items: Sequence[Any] | None) -> None:
    """Keys and the files they become."""
    for i, item in enumerate(items or ()):
        at = path.index(i)
        if not item.key:
            errors.required(at.child("key"))
        if not item.path:
            errors.required(at.child("path"))
        else:
            validate_file_path(errors, at.child("path"), item.path)
        if item.mode is not None:
            validate_mode(errors, at.child("mode"), item.mode)


def validate_downward_file(errors: Errors, path: Path, file: Any) -> None:
    """A file that shows a field of the pod, or a container's resources."""
    if not file.path:
        errors.required(path.child("path"))
    validate_file_path(errors, path.child("path"), file.path)
    if file.fieldRef is not None:
        validate_field_ref(errors, path.child("fieldRef"), file.fieldRef, VOLUME_FIELDS)
        if file.resourceFieldRef is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.invalid(path, "resource", text)
    elif file.resourceFieldRef is not None:
        validate_resource_ref(errors, path.child("resourceFieldRef"), file.resourceFieldRef, needs_container=True)
    else:
        errors.required(path, "one of fieldRef and resourceFieldRef is required")
    validate_mode(errors, path.child("mode"), file.mode)


def validate_projected(errors: Errors, path: Path, source: Any) -> None:
    """A projected volume: several sources, no two with the same file.

    Every pod gets the same one for its account's token, so those found sound are remembered.
    """
    encoded = types.encode(source)
    if encoded in _sound:
        return
    before = len(errors)
    _validate_sources(errors, path, source)
    if len(errors) == before and len(_sound) < REMEMBERED:
        _sound.add(encoded)


def _validate_sources(errors: Errors, path: Path, source: Any) -> None:
    validate_mode(errors, path.child("defaultMode"), source.defaultMode)
    seen: set[str] = set()
    for i, projection in enumerate(source.sources or ()):
        at = path.child("sources").index(i)
        given = [kind for kind in _PROJECTIONS if getattr(projection, kind) is not None]
        for kind in given:
            _PROJECTIONS[kind](errors, path, at.child(kind), getattr(projection, kind), seen)
        if len(given) > 1:
            errors.forbidden(at, "may not specify more than 1 volume type per source")


def _claim_path(errors: Errors, path: Path, shown: str, file: str, seen: set[str]) -> None:
    if file in seen:
        errors.invalid(path, shown, "conflicting duplicate paths")
    elif file:
        seen.add(file)


def _validate_keys(errors: Errors, volume: Path, path: Path, source: Any, seen: set[str]) -> None:
    if not source.name:
        errors.required(path.child("name"))
    validate_items(errors, path.child("items"), source.items)
    for item in source.items or ():
        _claim_path(errors, volume, source.name or "", item.path, seen)


def _validate_downward(errors: Errors, volume: Path, path: Path, source: Any, seen: set[str]) -> None:
    for file in source.items or ():
        validate_downward_file(errors, path, file)
        _claim_path(errors, volume, file.path, file.path, seen)


def _validate_token(errors: Errors, volume: Path, path: Path, source: Any, seen: set[str]) -> None:
    seconds = source.expirationSeconds or 0
    if seconds < SHORTEST_TOKEN:
        errors.invalid(path.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes")
    if seconds > 2**32:
        errors.invalid(path.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds")
    if not source.path:
        errors.required(volume.child("path"))
    else:
        validate_file_path(errors, volume.child("path"), source.path)
    _claim_path(errors, volume, source.path, source.path, seen)


def _validate_bundle(errors: Errors, volume: Path, path: Path, source: Any, seen: set[str]) -> None:
    if source.signerName and source.name:
        errors.invalid(path, source, "only one of name and signerName may be used")
    elif not source.signerName and not source.name:
        errors.required(path, "either name or signerName must be specified")
    elif source.name and source.labelSelector is not None:
        errors.invalid(
            path.child("labelSelector"), source.labelSelector, "labelSelector must be unset if name is specified"
        )
    elif source.name:
        names.add_all(errors, path.child("name"), source.name, names.dns1123_subdomain(source.name))
    if not source.path:
        errors.required(path.child("path"))
    validate_file_path(errors, path.child("path"), source.path)
    _claim_path(errors, volume, source.path, source.path, seen)


def _validate_certificate(errors: Errors, volume: Path, path: Path, source: Any, seen: set[str]) -> None:
    if not source.signerName:
        errors.required(path.child("signerName"))
    if source.keyType not in KEY_TYPES:
        errors.not_supported(path.child("keyType"), source.keyType, KEY_TYPES)
    seconds = source.maxExpirationSeconds
    if seconds is not None and not SHORTEST_CERTIFICATE <= seconds <= LONGEST_CERTIFICATE:
        text = f"must be between {SHORTEST_CERTIFICATE} and {LONGEST_CERTIFICATE}, inclusive"
        errors.invalid(path.child("maxExpirationSeconds"), seconds, text)
    files = {f: getattr(source, f) for f in ("credentialBundlePath", "keyPath", "certificateChainPath")}
    if not any(files.values()):
        errors.required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
    for field, file in files.items():
        if file:
            validate_file_path(errors, path.child(field), file)
            _claim_path(errors, volume, file, file, seen)


_PROJECTIONS = {
    "secret": _validate_keys,
    "configMap": _validate_keys,
    "downwardAPI": _validate_downward,
    "serviceAccountToken": _validate_token,
    "clusterTrustBundle": _validate_bundle,
    "podCertificate": _validate_certificate,
}
