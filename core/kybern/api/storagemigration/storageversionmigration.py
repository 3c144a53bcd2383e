"""StorageVersionMigration: resource `storageversionmigrations.storagemigration.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="storagemigration.k8s.io",
    version="v1",
    kind="StorageVersionMigration",
    plural="storageversionmigrations",
    namespaced=False,
    subresources=(Subresource("status"),),
    columns=(NAME, AGE),
)
