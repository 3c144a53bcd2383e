"""CSIStorageCapacity: how much storage of a class is left in one part of the cluster."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from kybern.api.table import CREATED_AT, NAME, name_and_creation
from kybern.api.validation import names
from kybern.api.validation.metadata import validate_immutable
from kybern.api.validation.resources import validate_non_negative_quantity
from kybern.api.validation.selectors import validate_label_selector


def validate(obj: Any, errors: Errors) -> None:
    name = obj.storageClassName
    names.add_all(errors, "storageClassName", name, names.dns1123_subdomain(name))
    validate_label_selector(errors, Path("nodeTopology"), obj.nodeTopology)
    for field in ("capacity", "maximumVolumeSize"):
        amount = getattr(obj, field)
        if amount is not None:
            validate_non_negative_quantity(errors, Path(field), amount)


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    for field in ("nodeTopology", "storageClassName"):
        validate_immutable(errors, Path(field), getattr(new, field), getattr(old, field))


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    namespaced=True,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, CREATED_AT),
    row=name_and_creation,
    unconditional_update=False,
)
