"""CSIDriver: resource `csidrivers.storage.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    namespaced=False,
    columns=(
        NAME,
        Column("AttachRequired", type="boolean"),
        Column("PodInfoOnMount", type="boolean"),
        Column("StorageCapacity", type="boolean"),
        Column("TokenRequests"),
        Column("RequiresRepublish", type="boolean"),
        Column("Modes"),
        AGE,
    ),
)
