"""CSIStorageCapacity: resource `csistoragecapacities.storage.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Kind
from kybern.api.table import CREATED_AT, NAME

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    namespaced=True,
    columns=(
        NAME,
        CREATED_AT,
    ),
)
