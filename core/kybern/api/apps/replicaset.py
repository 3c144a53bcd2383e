"""ReplicaSet: resource `replicasets.apps`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed

KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    namespaced=True,
    short_names=('rs',),
    categories=('all',),
    subresources=(Subresource("scale", kind="Scale", group="autoscaling", version="v1"), Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    spec_changed=spec_changed,
    scale_paths=("spec.replicas", "status.replicas", "status.selector"),
)
