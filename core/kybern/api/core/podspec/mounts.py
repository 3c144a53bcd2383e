"""Checks how containers mount volumes, as file systems and as block devices."""

from __future__ import annotations

from typing import Any

from kybern.api.core.podspec.context import PodContext
from kybern.api.field import Errors, Path

__all__ = ["validate_descending_path", "validate_devices", "validate_mounts"]

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE = ("Disabled", "IfPossible", "Enabled")
BLOCK_ONLY = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"


def validate_descending_path(errors: Errors, path: Path, value: str) -> None:
    """A relative path that does not climb."""
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    validate_no_backsteps(errors, path, value)


def validate_no_backsteps(errors: Errors, path: Path, value: str) -> None:
    """A path without `..`."""
    if ".." in value.split("/"):
        errors.invalid(path, value, "must not contain '..'")


def validate_mounts(errors: Errors, path: Path, container: Any, context: PodContext) -> None:
    """A container's `volumeMounts`."""
    device_names = {d.name for d in container.volumeDevices or ()}
    device_paths = {d.devicePath for d in container.volumeDevices or ()}
    seen: set[str] = set()
    for i, mount in enumerate(container.volumeMounts or ()):
        at = path.index(i)
        if not mount.name:
            errors.required(at.child("name"))
        if mount.name not in context.volumes:
            errors.not_found(at.child("name"), mount.name)
        if not mount.mountPath:
            errors.required(at.child("mountPath"))
        if mount.mountPath in seen:
            errors.invalid(at.child("mountPath"), mount.mountPath, "must be unique")
        seen.add(mount.mountPath)
        if mount.name in device_names:
            errors.invalid(at.child("name"), mount.name, "must not already exist in volumeDevices")
        if mount.mountPath in device_paths:
            errors.invalid(at.child("mountPath"), mount.mountPath, "must not already exist as a path in volumeDevices")
        _validate_sub_paths(errors, path, at, mount)
        _validate_propagation(errors, path, mount, container)


def _validate_sub_paths(errors: Errors, path: Path, at: Path, mount: Any) -> None:
    if mount.subPath:
        validate_descending_path(errors, path.child("subPath"), mount.subPath)
    if mount.subPathExpr:
        if mount.subPath:
            errors.invalid(at.child("subPathExpr"), mount.subPathExpr, "subPathExpr and subPath are mutually exclusive")
        validate_descending_path(errors, path.child("subPathExpr"), mount.subPathExpr)


def _validate_propagation(errors: Errors, path: Path, mount: Any, container: Any) -> None:
    mode = mount.mountPropagation
    if mode is not None:
        at = path.child("mountPropagation")
        security = container.securityContext
        if mode not in PROPAGATIONS:
            errors.not_supported(at, mode, PROPAGATIONS)
        elif mode == "Bidirectional" and not (security is not None and security.privileged):
            errors.forbidden(at, "Bidirectional mount propagation is available only to privileged containers")
    recursive = mount.recursiveReadOnly
    if recursive is None or recursive == "Disabled":
        return
    at = path.child("recursiveReadOnly")
    if recursive not in RECURSIVE:
        errors.not_supported(at, recursive, RECURSIVE)
        return
    if not mount.readOnly:
        errors.forbidden(at, "may only be specified when readOnly is true")
    if mode is not None and mode != "None":
        errors.forbidden(at, "may only be specified when mountPropagation is None or not specified")


def validate_devices(errors: Errors, path: Path, container: Any, context: PodContext) -> None:
    """A container's `volumeDevices`."""
    mount_names = {m.name for m in container.volumeMounts or ()}
    mount_paths = {m.mountPath for m in container.volumeMounts or ()}
    names: set[str] = set()
    paths: set[str] = set()
    for i, device in enumerate(container.volumeDevices or ()):
        at = path.index(i)
        _validate_device_name(errors, at.child("name"), device.name, names, context)
        at_path = at.child("devicePath")
        if not device.devicePath:
            errors.required(at_path)
        if device.devicePath in paths:
            errors.invalid(at_path, device.devicePath, "must be unique")
        if ".." in device.devicePath.split("/"):
            errors.invalid(at_path, device.devicePath, "can not contain backsteps ('..')")
        else:
            paths.add(device.devicePath)
        if device.name in mount_names:
            errors.invalid(at.child("name"), device.name, "must not already exist in volumeMounts")
        if device.devicePath in mount_paths:
            errors.invalid(at_path, device.devicePath, "must not already exist as a path in volumeMounts")
        names.add(device.name)


def _validate_device_name(errors: Errors, path: Path, name: str, seen: set[str], context: PodContext) -> None:
    volume = context.volumes.get(name)
    if not name:
        errors.required(path)
    if name in seen:
        errors.invalid(path, name, "must be unique")
    if volume is None:
        errors.not_found(path, name)
    elif volume.persistentVolumeClaim is None and volume.ephemeral is None:
        errors.invalid(path, name, BLOCK_ONLY)
