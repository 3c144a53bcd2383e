"""The CSINode object beside each Node: which CSI drivers the node has, for the scheduler and the attacher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.interface import Client

__all__ = ["register_csi_node"]


async def register_csi_node(client: Client, node: Any, drivers: Iterable[str]) -> None:
    """Create the node's CSINode, or take over the one that is there. Drivers that somebody else added stay."""
    from kybern.api.storage import CSINode

    wanted = _csi_node(node, drivers)
    for _ in range(5):
        try:
            await client.create(wanted)
            return
        except StatusError as error:
            if error.code != 409:
                raise
        try:
            found: Any = await client.get(CSINode, node.metadata.name)
            changed = _taken_over(found, wanted)
            if changed != found:
                await client.update(changed)
            return
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def _csi_node(node: Any, drivers: Iterable[str]) -> Any:
    from kybern.api.meta import ObjectMeta, OwnerReference
    from kybern.api.storage import CSINode, CSINodeDriver, CSINodeSpec

    name = node.metadata.name
    owner = OwnerReference(apiVersion="v1", kind="Node", name=name, uid=node.metadata.uid)
    there = [CSINodeDriver(name=driver, nodeID=name) for driver in drivers]
    metadata = ObjectMeta(name=name, ownerReferences=[owner])
    return CSINode(metadata=metadata, spec=CSINodeSpec(drivers=there or None))


def _taken_over(found: Any, wanted: Any) -> Any:
    changed = types.copy(found)
    changed.metadata.ownerReferences = wanted.metadata.ownerReferences
    known = {driver.name for driver in found.spec.drivers or ()}
    new = [driver for driver in wanted.spec.drivers or () if driver.name not in known]
    changed.spec.drivers = [*(found.spec.drivers or ()), *new] or None
    return changed
