"""Job: resource `jobs.batch`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed

KIND = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    namespaced=True,
    categories=('all',),
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    spec_changed=spec_changed,
)
