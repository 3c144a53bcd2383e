"""DeviceClass: resource `deviceclasses.resource.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Kind
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    namespaced=False,
    columns=(
        NAME,
        AGE,
    ),
)
