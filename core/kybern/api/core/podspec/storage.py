"""Checks volume sources that name storage outside the cluster: disks, network shares, CSI drivers.

PersistentVolumes have most of the same sources, so the rules only rely on fields that both forms share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["STORAGE_SOURCES", "validate_driver_name"]

PARTITIONS = "must be between 1 and 255, inclusive"
LUNS = "must be between 0 and 255, inclusive"
CACHING = ("None", "ReadOnly", "ReadWrite")
DISK_KINDS = ("Dedicated", "Managed", "Shared")
MANAGED_DISK = (
    "/subscriptions/",
    "{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
)
BLOB_DISK = ("https://", "{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
Check = Callable[[Errors, Path, Any], None]


def _needs(*fields: str) -> Check:
    """A check that only wants some fields given."""

    def check(errors: Errors, path: Path, source: Any) -> None:
        for field in fields:
            if not getattr(source, field):
                errors.required(path.child(field))

    return check


def _validate_disk(name: str) -> Check:
    def check(errors: Errors, path: Path, source: Any) -> None:
        if not getattr(source, name):
            errors.required(path.child(name))
        if not 0 <= (source.partition or 0) <= 255:
            errors.invalid(path.child("partition"), source.partition, PARTITIONS)

    return check


def _validate_nfs(errors: Errors, path: Path, source: Any) -> None:
    if not source.server:
        errors.required(path.child("server"))
    if not source.path:
        errors.required(path.child("path"))
    if not source.path.startswith("/"):
        errors.invalid(path.child("path"), source.path, "must be an absolute path")


def _validate_iscsi(errors: Errors, path: Path, source: Any) -> None:
    if not source.targetPortal:
        errors.required(path.child("targetPortal"))
    if not source.iqn:
        errors.required(path.child("iqn"))
    elif not source.iqn.startswith(("iqn", "eui", "naa")):
        errors.invalid(path.child("iqn"), source.iqn, "must be valid format starting with iqn, eui, or naa")
    if not 0 <= source.lun <= 255:
        errors.invalid(path.child("lun"), source.lun, LUNS)
    if (source.chapAuthDiscovery or source.chapAuthSession) and source.secretRef is None:
        errors.required(path.child("secretRef"))
    initiator = source.initiatorName
    if initiator is not None and not initiator.startswith(("iqn", "eui", "naa")):
        text = "must be valid format starting with iqn, eui, or naa"
        errors.invalid(path.child("initiatorname"), initiator, text)


def _validate_flocker(errors: Errors, path: Path, source: Any) -> None:
    if not source.datasetName and not source.datasetUUID:
        errors.required(path, "one of datasetName and datasetUUID is required")
    if source.datasetName and source.datasetUUID:
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in (source.datasetName or ""):
        errors.invalid(path.child("datasetName"), source.datasetName, "must not contain '/'")


def _validate_cinder(errors: Errors, path: Path, source: Any) -> None:
    if not source.volumeID:
        errors.required(path.child("volumeID"))
    if source.secretRef is not None and not source.secretRef.name:
        errors.required(path.child("secretRef", "name"))


def _validate_quobyte(errors: Errors, path: Path, source: Any) -> None:
    if not source.registry:
        errors.required(path.child("registry"), "must be a host:port pair or multiple pairs separated by commas")
    elif len(source.tenant or "") >= 65:
        errors.required(path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in source.registry.split(","):
            if not all(pair.rpartition(":")):
                text = "must be a host:port pair or multiple pairs separated by commas"
                errors.invalid(path.child("registry"), source.registry, text)
    if not source.volume:
        errors.required(path.child("volume"))


def _validate_fc(errors: Errors, path: Path, source: Any) -> None:
    if source.targetWWNs and source.wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errors.invalid(path.child("targetWWNs"), source.targetWWNs, text)
    if not source.targetWWNs and not source.wwids:
        errors.required(path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both")
    if not source.targetWWNs:
        return
    if source.lun is None:
        errors.required(path.child("lun"), "lun is required if targetWWNs is specified")
    elif not 0 <= source.lun <= 255:
        errors.invalid(path.child("lun"), source.lun, LUNS)


def _validate_flex(errors: Errors, path: Path, source: Any) -> None:
    if not source.driver:
        errors.required(path.child("driver"))
    for key in source.options or {}:
        namespace = key.partition("/")[0] if "/" in key else ""
        if namespace.rstrip(".").endswith(("kubernetes.io", "k8s.io")):
            errors.invalid(path.child("options").key(key), key, "kubernetes.io and k8s.io namespaces are reserved")


def _validate_azure_disk(errors: Errors, path: Path, source: Any) -> None:
    for field in ("diskName", "diskURI"):
        if not getattr(source, field):
            errors.required(path.child(field))
    for field, supported in (("cachingMode", CACHING), ("kind", DISK_KINDS)):
        value = getattr(source, field)
        if value is not None and value not in supported:
            errors.not_supported(path.child(field), value, supported)
    if not source.diskURI:
        return
    start, shape = MANAGED_DISK if source.kind == "Managed" else BLOB_DISK
    if not source.diskURI.startswith(start):
        errors.not_supported(path.child("diskURI"), source.diskURI, [start + shape])


def _validate_storage_os(errors: Errors, path: Path, source: Any) -> None:
    if not source.volumeName:
        errors.required(path.child("volumeName"))
    else:
        names.add_all(errors, path.child("volumeName"), source.volumeName, names.dns1123_label(source.volumeName))
    if source.volumeNamespace:
        at = path.child("volumeNamespace")
        names.add_all(errors, at, source.volumeNamespace, names.dns1123_label(source.volumeNamespace))
    if source.secretRef is not None and not source.secretRef.name:
        errors.required(path.child("secretRef", "name"))


def validate_driver_name(errors: Errors, path: Path, driver: str) -> None:
    """The name of a CSI driver: a subdomain in any case, of at most 63 characters."""
    if not driver:
        errors.required(path)
    if len(driver) > 63:
        errors.too_long(path, 63)
    names.add_all(errors, path, driver, names.dns1123_subdomain(driver.lower()))


def _validate_csi(errors: Errors, path: Path, source: Any) -> None:
    validate_driver_name(errors, path.child("driver"), source.driver)
    if source.nodePublishSecretRef is not None:
        at = path.child("nodePublishSecretRef", "name")
        if not source.nodePublishSecretRef.name:
            errors.required(at)


STORAGE_SOURCES: dict[str, Check] = {
    "gcePersistentDisk": _validate_disk("pdName"),
    "awsElasticBlockStore": _validate_disk("volumeID"),
    "nfs": _validate_nfs,
    "iscsi": _validate_iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _validate_flocker,
    "rbd": _needs("monitors", "image"),
    "cinder": _validate_cinder,
    "cephfs": _needs("monitors"),
    "quobyte": _validate_quobyte,
    "fc": _validate_fc,
    "flexVolume": _validate_flex,
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _validate_azure_disk,
    "storageos": _validate_storage_os,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "csi": _validate_csi,
}
