"""Claims that ask for more than they have: says that the volume's driver is to grow it.

No kind of volume is grown here: its driver does that, and this controller tells the user who is waited for.
"""

from __future__ import annotations

from typing import Any

from kybern.api import quantity
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
        if claim is not None and claim.status.phase == "Bound" and _wanted(claim) > _held(claim):
            self.events.event(claim, "Normal", "ExternalExpanding", WAITING)


def _grew(old: Any, new: Any) -> bool:
    return old is not None and new is not None and bool(_wanted(new) > _wanted(old))


def _wanted(claim: Any) -> Any:
    return quantity.parse((claim.spec.resources.requests or {}).get("storage", "0"))


def _held(claim: Any) -> Any:
    return quantity.parse((claim.status.capacity or {}).get("storage", "0"))
