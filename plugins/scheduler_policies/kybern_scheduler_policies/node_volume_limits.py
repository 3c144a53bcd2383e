"""NodeVolumeLimits: a node can attach only so many volumes of a CSI driver, as its CSINode says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, CycleState, Handle, Hint, Policy, Resource, Status
from kybern.scheduler.snapshot import Snapshot
from kybern_scheduler_policies.volume_claims import Volumes, claims_of, is_bound

REASON = "node(s) exceed max volume count"

Attached = set[tuple[str, str]]
"""(driver, volume handle)"""


class NodeVolumeLimits(Policy):
    """Filters by attachable volumes."""

    name = "NodeVolumeLimits"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        super().__init__(args, handle)
        from kybern.api.storage import CSINode

        self._volumes = Volumes(handle)
        self._csi_nodes = handle.informer(CSINode)

    def hints(self) -> Iterable[Hint]:
        """Pods that leave, higher limits, other claims."""
        return (
            Hint(Resource.ASSIGNED_POD, Action.DELETE),
            Hint(Resource.CSI_NODE, Action.ADD | Action.UPDATE),
            Hint(Resource.PVC, Action.ADD | Action.UPDATE),
        )

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | None:
        """Find the pod's attachable volumes."""
        if not pod.pod.spec.volumes:
            return SKIP
        wanted = self._attached(pod)
        if not wanted:
            return SKIP
        state.data[self.name] = wanted
        return None

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Object where the pod's volumes and those already there are too many, or the driver is not there at all."""
        wanted: Attached = state.data[self.name]
        found = self._csi_nodes.get(info.name)
        drivers = (found.spec.drivers if found is not None else None) or ()
        missing = sorted({driver for driver, _ in wanted} - {d.name for d in drivers})
        for driver in missing:
            if self._must_be_there(driver):
                return self.unresolvable(f"{driver} CSI driver is not installed on the node")
        limits = _limits(drivers)
        if not limits:
            return None
        there: Attached = set()
        for other in info.pods.values():
            if other.pod.spec.volumes:
                there |= self._attached(other)
        for driver in {driver for driver, _ in wanted - there}:
            if driver in limits and sum(d == driver for d, _ in wanted | there) > limits[driver]:
                return self.unschedulable(REASON)
        return None

    def _must_be_there(self, driver: str) -> bool:
        """Whether the driver wants no pods on nodes that it has not come to (KEP-5030)."""
        found = self._volumes.driver(driver)
        return found is not None and bool(found.spec.preventPodSchedulingIfMissing)

    def _attached(self, pod: PodInfo) -> Attached:
        """The CSI volumes of a pod; one that is yet to be made counts by its claim."""
        found: Attached = set()
        for ref in claims_of(pod):
            claim = self._volumes.claim(ref.name, pod.namespace)
            if claim is None:
                continue
            if is_bound(claim):
                bound = self._volumes.volume(claim.spec.volumeName)
                if bound is not None and bound.spec.csi is not None:
                    found.add((bound.spec.csi.driver, bound.spec.csi.volumeHandle))
                continue
            storage_class = self._volumes.storage_class(claim)
            if storage_class is not None and storage_class.provisioner:
                found.add((storage_class.provisioner, f"{pod.namespace}/{ref.name}"))
        return found


def _limits(drivers: Iterable[Any]) -> dict[str, int]:
    return {
        d.name: d.allocatable.count for d in drivers if d.allocatable is not None and d.allocatable.count is not None
    }
