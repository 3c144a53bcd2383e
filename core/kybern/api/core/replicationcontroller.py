"""ReplicationController: resource `replicationcontrollers`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed

KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    namespaced=True,
    short_names=('rc',),
    categories=('all',),
    subresources=(Subresource("scale", kind="Scale", group="autoscaling", version="v1"), Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    spec_changed=spec_changed,
    scale_paths=("spec.replicas", "status.replicas", "status.selector"),
)
