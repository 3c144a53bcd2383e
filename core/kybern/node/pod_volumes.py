"""A pod's wait for its volumes: until what they are made of is there, and until they are attached to the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kybern.node.pod_worker import PodWorker

__all__ = ["PodVolumes"]

_MOST_BETWEEN = 122.0
"""Seconds between two looks for what is missing, at most."""
_ENOUGH_TRIES = 8
"""After so many the time between two looks grows no longer."""
_ATTACH_POLL = 1.0
"""Seconds until a pod looks by itself whether its volumes are attached."""
_ATTACH_PATIENCE = 122.0
"""So long a pod waits for them without a word."""


class PodVolumes:
    """Belongs to a worker, which it wakes to look again."""

    __slots__ = ("_tries", "_waiting_since", "_worker")

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._tries = 0
        self._waiting_since: float | None = None

    @property
    def waits_for_attachment(self) -> bool:
        """Whether the pod waits for volumes to be attached."""
        return self._waiting_since is not None

    async def are_ready(self) -> bool:
        """Whether all can be mounted; otherwise the worker comes again."""
        worker = self._worker
        if problem := await worker.node.missing_volume(worker.pod):
            worker.node.tell(worker.pod, "Warning", "FailedMount", problem)
            worker.wake_in(min(0.5 * 2**self._tries, _MOST_BETWEEN))
            self._tries = min(self._tries + 1, _ENOUGH_TRIES)
            return False
        self._tries = 0
        return await self._are_attached()

    async def _are_attached(self) -> bool:
        """The node's next status that says so wakes the pod."""
        worker = self._worker
        claims, now = await worker.node.unattached_volumes(worker.pod), worker.node.clock.monotonic()
        if not claims:
            self._waiting_since = None
            return True
        if self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= _ATTACH_PATIENCE:
            names = [v.name for v in worker.pod.spec.volumes if v.persistentVolumeClaim or v.ephemeral]
            text = f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(names)}], unattached volumes=[]"
            why = "failed to process volumes=[]: context deadline exceeded"
            worker.node.tell(worker.pod, "Warning", "FailedMount", f"{text}, {why}")
            self._waiting_since = now
        worker.wake_in(_ATTACH_POLL)
        return False
