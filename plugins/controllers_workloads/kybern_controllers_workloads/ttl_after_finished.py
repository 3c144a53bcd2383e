"""TTL after finished: deletes a Job some seconds after it has finished, if its spec says so."""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.api.time import parse_time
from kybern.reconcile.interface import Context, Controller, Key, Result


def seconds_left(job: Any, now: float) -> float | None:
    """Seconds until the Job should go; None when it should stay."""
    ttl = job.spec.ttlSecondsAfterFinished
    if ttl is None or job.metadata.deletionTimestamp:
        return None
    for condition in job.status.conditions or ():
        if condition.type in ("Complete", "Failed") and condition.status == "True":
            return float(parse_time(condition.lastTransitionTime) + ttl - now)
    return None


class TTLAfterFinishedController(Controller):
    """`spec.ttlSecondsAfterFinished` of Jobs."""

    name = "ttl-after-finished"

    def setup(self, context: Context) -> None:
        from kybern.api.batch import Job

        self.client, self.clock, self.kind = context.client, context.clock, Job
        self.jobs = context.watch(Job, on=self._may_expire)

    def _may_expire(self, old: Any, new: Any) -> bool:
        return new is not None and seconds_left(new, self.clock.now()) is not None

    async def reconcile(self, key: Key) -> Result | None:
        job: Any = self.jobs.get(key.name, key.namespace)
        left = seconds_left(job, self.clock.now()) if job is not None else None
        if left is None:
            return None
        if left > 0:
            return Result(requeue_after=left)
        return await self._delete(key)

    async def _delete(self, key: Key) -> Result | None:
        """Look once more, past the cache: the time to live may have been raised a moment ago."""
        try:
            job: Any = await self.client.get(self.kind, key.name, key.namespace)
            left = seconds_left(job, self.clock.now())
            if left is None or left > 0:
                return Result(requeue_after=left) if left else None
            await self.client.delete(self.kind, key.name, key.namespace, uid=job.metadata.uid, propagation="Foreground")
        except StatusError as error:
            if error.code != 404:
                raise
        return None
