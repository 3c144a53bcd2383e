"""Writes pod statuses, and deletes pods that have ended.

A worker is marked whenever its status may have changed; the status is computed only when its turn
comes, so a burst of changes costs one write. A few writers work at the same time, and none waits
when there is nothing to write.
"""

from __future__ import annotations

import logging
from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any

from kybern.api.errors import StatusError
from kybern.node.pod_worker import PodWorker, State

if TYPE_CHECKING:
    from kybern.node.agent import NodeAgent

__all__ = ["StatusWriter", "newer"]

log = logging.getLogger(__name__)

_RETRY = 2.0


class StatusWriter:
    """Shared by all nodes of an agent."""

    def __init__(self, agent: NodeAgent, writers: int) -> None:
        self._agent = agent
        self._limit = writers
        self._active = 0
        self._queue: deque[PodWorker] = deque()
        self.writes = 0

    def mark(self, worker: PodWorker) -> None:
        """The status of this pod may have changed."""
        if worker.marked:
            return
        worker.marked = True
        self._queue.append(worker)
        if self._active < self._limit:
            self._active += 1
            self._agent.spawn(self._drain())

    async def _drain(self) -> None:
        try:
            while self._queue:
                worker = self._queue.popleft()
                worker.marked = False
                if worker.node.alive and not worker.removed:
                    await self._settle(worker)
        finally:
            self._active -= 1

    async def _settle(self, worker: PodWorker) -> None:
        try:
            while not await self._write(worker):
                pass
        except StatusError as error:
            if error.code == 404:
                return
            log.warning("status of pod %s/%s: %s", worker.pod.metadata.namespace, worker.pod.metadata.name, error)
            self._agent.clock.call_later(_RETRY, self.mark, worker)
        except Exception:
            log.exception("status of pod %s/%s", worker.pod.metadata.namespace, worker.pod.metadata.name)
            self._agent.clock.call_later(_RETRY, self.mark, worker)

    async def _write(self, worker: PodWorker) -> bool:
        """Bring the API object in line; False when it must be tried again from a newer object."""
        client, pod = self._agent.client, worker.pod
        status = worker.status()
        if status != pod.status:
            changed = copy(pod)
            changed.status = worker.reported = status
            try:
                written = await client.update_status(changed)
            except StatusError as error:
                if error.code != 409:
                    raise
                return await self._refresh(worker)
            self.writes += 1
            self._adopt(worker, written)
            if worker.marked:
                return True
        await self._delete(worker)
        return True

    async def _refresh(self, worker: PodWorker) -> bool:
        """Somebody else wrote: get their version. True when there is nothing left to write to."""
        name, namespace = worker.pod.metadata.name, worker.pod.metadata.namespace
        current = await self._agent.client.get(type(worker.pod), name, namespace)
        if current.metadata.uid != worker.uid:
            return True
        self._adopt(worker, current)
        return worker.removed

    def _adopt(self, worker: PodWorker, pod: Any) -> None:
        if newer(pod, worker.pod) and not worker.removed:
            worker.update(pod)

    async def _delete(self, worker: PodWorker) -> None:
        """The pod has ended and was asked to go: remove the API object, if it is still this one."""
        metadata = worker.pod.metadata
        if worker.state is not State.TERMINATED or not metadata.deletionTimestamp or worker.removed:
            return
        try:
            await self._agent.client.delete(
                type(worker.pod), metadata.name, metadata.namespace, uid=worker.uid, grace_period=0
            )
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def newer(one: Any, other: Any) -> bool:
    """Whether an object is a later version than another; versions are compared as numbers where they are."""
    a, b = one.metadata.resourceVersion or "", other.metadata.resourceVersion or ""
    if a.isdigit() and b.isdigit():
        return int(a) > int(b)
    return a != b
