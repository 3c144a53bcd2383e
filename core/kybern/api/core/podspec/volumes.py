"""Checks a pod's volumes: names, and exactly one valid source each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kybern.api import quantity
from kybern.api.core.podspec.mounts import validate_descending_path, validate_no_backsteps
from kybern.api.core.podspec.projected import validate_downward_file, validate_items, validate_mode, validate_projected
from kybern.api.core.podspec.storage import STORAGE_SOURCES
from kybern.api.field import Errors, Path
from kybern.api.validation import labels, names

__all__ = ["PULL_POLICIES", "validate_volumes"]

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
ONE_TYPE = "may not specify more than 1 volume type"
_SOURCES = """
    emptyDir hostPath gitRepo gcePersistentDisk awsElasticBlockStore secret nfs iscsi glusterfs flocker
    persistentVolumeClaim rbd cinder cephfs quobyte downwardAPI fc flexVolume azureFile configMap
    vsphereVolume photonPersistentDisk portworxVolume azureDisk storageos projected scaleIO csi ephemeral
    image
"""
_ORDER = _SOURCES.split()


def validate_volumes(errors: Errors, path: Path, volumes: Sequence[Any] | None, pod_name: str = "") -> dict[str, Any]:
    """All volumes; returns the valid ones by name. `pod_name`: empty for templates."""
    valid: dict[str, Any] = {}
    made = {f"{pod_name}-{v.name}" for v in volumes or () if v.ephemeral is not None} if pod_name else set()
    for i, volume in enumerate(volumes or ()):
        at = path.index(i)
        found = Errors()
        _validate_source(found, at, volume, pod_name)
        if not volume.name:
            found.required(at.child("name"))
        elif faults := names.dns1123_label(volume.name):
            names.add_all(found, at.child("name"), volume.name, faults)
        if volume.name in valid:
            found.duplicate(at.child("name"), volume.name)
        if not found:
            valid[volume.name] = volume
        errors.extend(found)
        claim = volume.persistentVolumeClaim
        if claim is not None and claim.claimName in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            errors.invalid(at.child("persistentVolumeClaim", "claimName"), claim.claimName, text)
    return valid


def _validate_source(errors: Errors, path: Path, volume: Any, pod_name: str) -> None:
    given = [name for name in _ORDER if getattr(volume, name) is not None]
    if not given:
        errors.required(path, "must specify a volume type")
        return
    for name in given[1:]:
        errors.forbidden(path.child(name), ONE_TYPE)
    at, source = path.child(given[0]), getattr(volume, given[0])
    if given[0] == "ephemeral":
        _validate_ephemeral(errors, path, at, source, f"{pod_name}-{volume.name}" if pod_name and volume.name else "")
    else:
        _CHECKS[given[0]](errors, at, source)


def _validate_empty_dir(errors: Errors, path: Path, source: Any) -> None:
    if source.sizeLimit is not None and quantity.parse(source.sizeLimit) < 0:
        errors.forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")


def _validate_host_path(errors: Errors, path: Path, source: Any) -> None:
    if not source.path:
        errors.required(path.child("path"))
        return
    validate_no_backsteps(errors, path.child("path"), source.path)
    if source.type is not None and source.type not in HOST_PATH_TYPES:
        errors.not_supported(path.child("type"), source.type, HOST_PATH_TYPES)


def _validate_git_repo(errors: Errors, path: Path, source: Any) -> None:
    if not source.repository:
        errors.required(path.child("repository"))
    validate_descending_path(errors, path.child("directory"), source.directory or "")


def _validate_secret(errors: Errors, path: Path, source: Any) -> None:
    if not source.secretName:
        errors.required(path.child("secretName"))
    validate_mode(errors, path.child("defaultMode"), source.defaultMode)
    validate_items(errors, path.child("items"), source.items)


def _validate_config_map(errors: Errors, path: Path, source: Any) -> None:
    if not source.name:
        errors.required(path.child("name"))
    validate_mode(errors, path.child("defaultMode"), source.defaultMode)
    validate_items(errors, path.child("items"), source.items)


def _validate_downward(errors: Errors, path: Path, source: Any) -> None:
    validate_mode(errors, path.child("defaultMode"), source.defaultMode)
    for file in source.items or ():
        validate_downward_file(errors, path, file)


def _validate_claim(errors: Errors, path: Path, source: Any) -> None:
    if not source.claimName:
        errors.required(path.child("claimName"))


def _validate_image(errors: Errors, path: Path, source: Any) -> None:
    if not source.reference:
        errors.required(path.child("reference"))
    if not source.pullPolicy:
        errors.required(path.child("pullPolicy"))
    elif source.pullPolicy not in PULL_POLICIES:
        errors.not_supported(path.child("pullPolicy"), source.pullPolicy, PULL_POLICIES)


def _validate_ephemeral(errors: Errors, volume: Path, path: Path, source: Any, claim: str) -> None:
    template = source.volumeClaimTemplate
    at = path.child("volumeClaimTemplate")
    if template is None:
        errors.required(at)
    else:
        _validate_claim_template(errors, at, template)
    for fault in names.dns1123_subdomain(claim) if claim else ():
        errors.invalid(volume.child("name"), claim, f'PVC name "{claim}": {fault}')


def _validate_claim_template(errors: Errors, path: Path, template: Any) -> None:
    from kybern.api.core.persistentvolumeclaim import validate_claim_spec

    metadata, at = template.metadata, path.child("metadata")
    labels.validate_annotations(errors, at.child("annotations"), metadata.annotations)
    labels.validate_labels(errors, at.child("labels"), metadata.labels)
    for field in metadata.__struct_fields__:
        if field not in ("annotations", "labels") and getattr(metadata, field) is not None:
            errors.forbidden(at.child(field), "cannot be set for an ephemeral volume")
    validate_claim_spec(errors, path.child("spec"), template.spec)


_CHECKS: dict[str, Callable[[Errors, Path, Any], None]] = {
    **STORAGE_SOURCES,
    "emptyDir": _validate_empty_dir,
    "hostPath": _validate_host_path,
    "gitRepo": _validate_git_repo,
    "secret": _validate_secret,
    "configMap": _validate_config_map,
    "downwardAPI": _validate_downward,
    "persistentVolumeClaim": _validate_claim,
    "projected": validate_projected,
    "image": _validate_image,
}
