"""The kinds of storage a PersistentVolume may be: which fields each needs, and which are out of use."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_non_negative

__all__ = ["default", "of", "validate", "validate_csi_driver_name", "warnings"]

SOURCES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
REQUIRED = {
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "glusterfs": ("endpoints", "path"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "iscsi": ("targetPortal", "iqn"),
    "cinder": ("volumeID",),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "nfs": ("server", "path"),
    "local": ("path",),
    "quobyte": ("registry", "volume"),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "hostPath": {"type": ""},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "iscsi": {"iscsiInterface": "default"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
GONE = {
    "photonPersistentDisk": ("v1.11", "v1.16"),
    "gcePersistentDisk": ("v1.17", ""),
    "scaleIO": ("v1.16", "v1.22"),
    "storageos": ("v1.22", "v1.25"),
    "flocker": ("v1.22", "v1.25"),
    "quobyte": ("v1.22", "v1.25"),
    "glusterfs": ("v1.25", "v1.26"),
    "cephfs": ("v1.28", "v1.31"),
    "rbd": ("v1.28", "v1.31"),
}
"""Deprecated since, non-functional since."""
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
DRIVER_MAX = 63


def of(spec: Any) -> dict[str, Any]:
    """The sources that are given, by field name."""
    return {name: source for name in SOURCES if (source := getattr(spec, name)) is not None}


def default(spec: Any) -> None:
    """Fill in what each kind of storage assumes."""
    for name, source in of(spec).items():
        for field, value in DEFAULTS.get(name, {}).items():
            if getattr(source, field) is None:
                setattr(source, field, value)


def validate(spec: Any, errors: Errors, path: Path) -> None:
    """Exactly one source, complete."""
    given = of(spec)
    if not given:
        errors.required(path, "must specify a volume type")
    for i, (name, source) in enumerate(given.items()):
        if i:
            errors.forbidden(path.child(name), "may not specify more than 1 volume type")
        else:
            _validate_source(name, source, errors, path.child(name))


def _validate_source(name: str, source: Any, errors: Errors, path: Path) -> None:
    for field in REQUIRED.get(name, ()):
        if not getattr(source, field):
            errors.required(path.child(field))
    if name == "hostPath":
        _validate_host_path(source, errors, path)
    elif name == "nfs" and source.path and not source.path.startswith("/"):
        errors.invalid(path.child("path"), source.path, "must be an absolute path")
    elif name == "local" and source.path:
        _validate_no_backsteps(source.path, errors, path.child("path"))
    elif name == "iscsi":
        _validate_lun(source, errors, path)
    elif name == "csi":
        _validate_csi(source, errors, path)


def _validate_host_path(source: Any, errors: Errors, path: Path) -> None:
    if not source.path:
        errors.required(path.child("path"))
    else:
        _validate_no_backsteps(source.path, errors, path.child("path"))
    if source.type not in (None, *HOST_PATH_TYPES):
        errors.not_supported(path.child("type"), source.type, HOST_PATH_TYPES)


def _validate_no_backsteps(text: str, errors: Errors, path: Path) -> None:
    if ".." in text.split("/"):
        errors.invalid(path, text, "must not contain '..'")


def _validate_lun(source: Any, errors: Errors, path: Path) -> None:
    validate_non_negative(errors, path.child("lun"), source.lun)
    if source.lun > 255:
        errors.invalid(path.child("lun"), source.lun, "must be between 0 and 255, inclusive")


def validate_csi_driver_name(name: str, errors: Errors, path: Path) -> None:
    """A driver's name: a short subdomain, in any case."""
    if not name:
        errors.required(path)
    if len(name) > DRIVER_MAX:
        errors.too_long(path, DRIVER_MAX)
    if name:
        names.add_all(errors, path, name, names.dns1123_subdomain(name.lower()))


def _validate_csi(source: Any, errors: Errors, path: Path) -> None:
    validate_csi_driver_name(source.driver, errors, path.child("driver"))
    if not source.volumeHandle:
        errors.required(path.child("volumeHandle"))
    for field in (
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):
        secret = getattr(source, field)
        for part in ("name", "namespace"):
            if secret is not None and not getattr(secret, part):
                errors.required(path.child(field, part))


def warnings(spec: Any, path: str) -> list[str]:
    """What to say about storage that Kubernetes no longer drives."""
    found = []
    for name in of(spec):
        since, gone = GONE.get(name, ("", ""))
        if gone:
            found.append(f"{path}.{name}: deprecated in {since}, non-functional in {gone}+")
    return found
