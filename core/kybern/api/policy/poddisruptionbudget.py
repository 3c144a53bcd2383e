"""PodDisruptionBudget: resource `poddisruptionbudgets.policy`."""

from __future__ import annotations

from kybern.api.kind import Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed

KIND = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    namespaced=True,
    short_names=('pdb',),
    subresources=(Subresource("status"),),
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    spec_changed=spec_changed,
)
