"""Lets go of pods whose Job is gone: nobody will count them any more, and their finalizer must not keep them."""

from __future__ import annotations

from typing import Any

from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key
from kybern.reconcile.lookup import Lookup
from kybern.reconcile.owners import controller_of, label_test
from kybern.reconcile.pods import owner_index
from kybern_controllers_workloads.job_pods import has_finalizer, without_finalizer


class JobOrphansController(Controller):
    """Keys are pods."""

    name = "job-orphans"
    event_source = "job-controller"

    def setup(self, context: Context) -> None:
        from kybern.api.batch import Job
        from kybern.api.core import Pod

        self.context, self.client, self.pod = context, context.client, Pod
        self.jobs = context.informer(Job)
        self.jobs.on_change(self._job_changed)
        self.lookup: Lookup[Any] = Lookup(context.client, self.jobs, Job)
        self.pods = context.watch(Pod, on=lambda old, new: new is not None and self._looks_lost(new))
        self.pods.add_index("owner", owner_index)

    def _job_changed(self, old: Any, new: Any) -> None:
        """Its pods may still be its own, or have been let go of already, for it to go."""
        if new is not None:
            return
        metadata, matches = old.metadata, label_test(old.spec.selector)
        pods: list[Any] = self.pods.by_index("owner", metadata.uid)
        orphans: list[Any] = self.pods.by_index("owner", f"orphans/{metadata.namespace}")
        for pod in (*pods, *(p for p in orphans if matches(p.metadata.labels))):
            if has_finalizer(pod):
                self.context.enqueue(Key(pod.metadata.namespace, pod.metadata.name))

    def _looks_lost(self, pod: Any) -> bool:
        if not has_finalizer(pod):
            return False
        reference = controller_of(pod)
        if reference is None:
            return True
        job: Any = self.jobs.get(reference.name, pod.metadata.namespace)
        return reference.kind == "Job" and (job is None or job.metadata.uid != reference.uid)

    async def reconcile(self, key: Key) -> None:
        pod: Any = self.pods.get(key.name, key.namespace)
        if pod is None or not self._looks_lost(pod) or await self._has_job(pod):
            return
        try:
            await self.client.patch(self.pod, key.name, key.namespace, without_finalizer(pod))
        except StatusError as error:
            if error.code != 404:
                raise

    async def _has_job(self, pod: Any) -> bool:
        """Asks the server too: a pod may be in the cache before its Job is."""
        reference = controller_of(pod)
        if reference is None:
            # Not yet adopted, perhaps.
            jobs: list[Any] = self.jobs.list(pod.metadata.namespace)
            return any(label_test(job.spec.selector)(pod.metadata.labels) for job in jobs)
        job = await self.lookup.fresh(reference.name, pod.metadata.namespace)
        return job is not None and job.metadata.uid == reference.uid
