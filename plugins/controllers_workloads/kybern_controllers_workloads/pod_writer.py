"""Creating and deleting an owner's pods, with the Events that tell of it."""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern.reconcile.interface import EventRecorder

__all__ = ["PodWriter", "namespace_ends"]


def namespace_ends(error: Exception) -> bool:
    """Whether nothing can be created because the namespace is being deleted: trying again is of no use."""
    if not isinstance(error, StatusError) or error.code != 403:
        return False
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class PodWriter:
    """For one controller."""

    def __init__(self, client: Client, events: EventRecorder) -> None:
        self._client = client
        self._events = events

    async def create(self, owner: Any, pod: Any) -> Any:
        """Create a pod of the owner's."""
        try:
            made = await self._client.create(pod)
        except StatusError as error:
            if not namespace_ends(error):
                self._events.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")
        return made

    async def delete(self, owner: Any, pod: Any) -> None:
        """Delete a pod of the owner's; StatusError 404 when it is gone already, 409 when another has its name."""
        metadata = pod.metadata
        try:
            await self._client.delete(type(pod), metadata.name, metadata.namespace, uid=metadata.uid)
        except StatusError as error:
            if error.code not in (404, 409):
                self._events.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata.name}")
