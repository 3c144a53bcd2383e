"""ControllerRevision: resource `controllerrevisions.apps`."""

from __future__ import annotations

from kybern.api.kind import Kind

KIND = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    namespaced=True,
)
