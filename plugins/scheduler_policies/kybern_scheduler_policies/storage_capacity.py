"""How much storage is left for a class of volumes where a node is, as CSI drivers tell it (KEP-1472)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kybern.api import quantity, selectors
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.policy import Handle
from kybern_scheduler_policies.volume_claims import Volumes

__all__ = ["StorageCapacities"]


class StorageCapacities:
    """CSIStorageCapacity objects, for drivers that say that theirs count."""

    def __init__(self, handle: Handle, volumes: Volumes) -> None:
        from kybern.api.storage import CSIStorageCapacity

        self._volumes = volumes
        self._capacities = handle.informer(CSIStorageCapacity)

    def counts(self, storage_class: Any) -> bool:
        """Whether the class's driver tells how much is left."""
        driver = self._volumes.driver(storage_class.provisioner)
        return driver is not None and bool(driver.spec.storageCapacity)

    def largest(self, storage_class: Any, size: Fraction, info: NodeInfo) -> Fraction | None:
        """The capacity from which a volume of this size can be made for the node; None: there is none."""
        found = [
            quantity.parse(each.capacity or each.maximumVolumeSize)
            for each in self._capacities.list()
            if each.storageClassName == storage_class.metadata.name and _suffices(each, size) and _reaches(each, info)
        ]
        return max(found, default=None)


def _suffices(capacity: Any, size: Fraction) -> bool:
    limit = capacity.maximumVolumeSize or capacity.capacity
    return limit is not None and quantity.parse(limit) >= size


def _reaches(capacity: Any, info: NodeInfo) -> bool:
    """No topology: it cannot be reached from anywhere."""
    topology = capacity.nodeTopology
    return topology is not None and bool(selectors.from_label_selector(topology).matches(dict(info.labels)))
