"""Claims that ask for more than they have: says that the volume's driver is to grow it.

No kind of volume is grown here: its driver does that, and this controller tells the user who is waited for.
"""

from __future__ import annotations

from typing import Any

from kybern.api.storage.classes import storage_of
from kybern.api.storage.matching import wanted_size
from kybern.reconcile.interface import Context, Controller, Key

WAITING = "waiting for an external controller to expand this PVC"


class VolumeExpandController(Controller):
    """Looks at claims that grew."""

    name = "persistentvolume-expander"
    event_source = "volume_expand"

    def setup(self, context: Context) -> None:
        from kybern.api.core import PersistentVolumeClaim

        self.events = context.events
        self.claims = context.watch(PersistentVolumeClaim, on=_grew)

    async def reconcile(self, key: Key) -> None:
        claim: Any = self.claims.get(key.name, key.namespace)
        if claim is None or claim.status.phase != "Bound":
            return
        if wanted_size(claim) > storage_of(claim.status.capacity):
            self.events.event(claim, "Normal", "ExternalExpanding", WAITING)


def _grew(old: Any, new: Any) -> bool:
    return old is not None and new is not None and bool(wanted_size(new) > wanted_size(old))
