"""PriorityClass: resource `priorityclasses.scheduling.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    namespaced=False,
    short_names=("pc",),
    columns=(
        NAME,
        Column("Value", type="integer"),
        Column("Global-Default", type="boolean"),
        AGE,
        Column("PreemptionPolicy"),
    ),
)
