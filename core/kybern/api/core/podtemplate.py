"""PodTemplate: resource `podtemplates`."""

from __future__ import annotations

from kybern.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    namespaced=True,
)
