"""FlowSchema: resource `flowschemas.flowcontrol.apiserver.k8s.io`."""

from __future__ import annotations

from kybern.api.kind import Column, Kind, Subresource
from kybern.api.table import AGE, NAME

KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    namespaced=False,
    subresources=(Subresource("status"),),
    columns=(
        NAME,
        Column("PriorityLevel"),
        Column("MatchingPrecedence"),
        Column("DistinguisherMethod"),
        AGE,
        Column("MissingPL"),
    ),
)
