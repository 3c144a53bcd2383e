"""CSINode: the CSI drivers on one node. It has the node's name."""

from __future__ import annotations

from typing import Any

from kybern.api.core.volume_sources import validate_csi_driver_name
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names
from kybern.api.validation.metadata import IMMUTABLE, validate_non_negative

NODE_ID_MAX = 256
DRIVERS = Path("spec").child("drivers")


def validate(obj: Any, errors: Errors) -> None:
    seen: set[str] = set()
    for i, driver in enumerate(obj.spec.drivers or ()):
        _validate_driver(driver, seen, errors, DRIVERS.index(i))


def _validate_driver(driver: Any, seen: set[str], errors: Errors, path: Path) -> None:
    validate_csi_driver_name(driver.name, errors, path.child("name"))
    if not driver.nodeID:
        errors.required(path.child("nodeID"))
    elif len(driver.nodeID) > NODE_ID_MAX:
        errors.invalid(path.child("nodeID"), driver.nodeID, f"must be {NODE_ID_MAX} characters or less")
    if driver.allocatable is not None:
        validate_non_negative(errors, path.child("allocatable", "count"), driver.allocatable.count)
    if driver.name and driver.name in seen:
        errors.duplicate(path.child("name"), driver.name)
    seen.add(driver.name)
    keys: set[str] = set()
    for key in driver.topologyKeys or ():
        if not key:
            errors.required(path)
        if key in keys:
            errors.duplicate(path, key)
        keys.add(key)
        names.add_all(errors, path, key, names.qualified_name(key))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """A driver comes and goes as a whole; only how much it can take may change."""
    before = {d.name: (d.nodeID, d.topologyKeys) for d in old.spec.drivers or ()}
    for i, driver in enumerate(new.spec.drivers or ()):
        if driver.name in before and before[driver.name] != (driver.nodeID, driver.topologyKeys):
            errors.invalid(DRIVERS.index(i), driver, IMMUTABLE)


def row(obj: Any, now: float) -> list[Any]:
    return [obj.metadata.name, len(obj.spec.drivers or ()), age(obj.metadata.creationTimestamp, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    namespaced=False,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Drivers", type="integer", field="CSINodeSpec.drivers"), AGE),
    row=row,
    unconditional_update=False,
)
