"""The pods of a Job: what marks them, how they are made, when they ended.

Every pod carries a finalizer until the Job's status has counted it, so that none that ended can
vanish uncounted. Pods of an indexed Job carry their index, and how often their index failed before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from kybern.api import types
from kybern.api.time import parse_time
from kybern.reconcile.owners import controller_of
from kybern.reconcile.pods import is_finished, pod_condition, pod_from_template

__all__ = [
    "FINALIZER", "INDEX", "UID_LABEL", "completion_index", "counted_failures", "finished_at", "has_finalizer",
    "ignored_failures", "job_index", "new_pod", "pod_template", "without_finalizer",
]  # fmt: skip

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
UID_LABEL = "batch.kubernetes.io/controller-uid"
ENVIRONMENT = "JOB_COMPLETION_INDEX"
GENERATED_MAX = 58
"""A name has 63 characters, five of which the server makes up."""
INT32_MAX = 2**31 - 1


def has_finalizer(pod: Any) -> bool:
    """Whether the pod still waits to be counted."""
    return FINALIZER in (pod.metadata.finalizers or ())


def job_index(pod: Any) -> Iterable[str]:
    """Index values: the Job's uid for pods that still matter to it, `orphans/<uid>` for those that lost it."""
    if is_finished(pod) and not has_finalizer(pod):
        return ()
    reference = controller_of(pod)
    if reference is not None:
        return (reference.uid,) if reference.kind == "Job" else ()
    uid = (pod.metadata.labels or {}).get(UID_LABEL)
    return (f"orphans/{uid}",) if uid else ()


def completion_index(pod: Any) -> int | None:
    """Which index of the Job the pod works on; None when it says none."""
    text = (pod.metadata.annotations or {}).get(INDEX, "")
    return int(text) if text.isdecimal() else None


def counted_failures(pod: Any) -> int:
    """How often the pod's index had failed when the pod was made."""
    return _number(pod, FAILURES)


def ignored_failures(pod: Any) -> int:
    """The same of failures that the failure policy said to ignore."""
    return _number(pod, IGNORED)


def _number(pod: Any, annotation: str) -> int:
    text = (pod.metadata.annotations or {}).get(annotation, "")
    return int(text) if text.isdecimal() and int(text) <= INT32_MAX else 0


def without_finalizer(pod: Any) -> dict[str, Any]:
    """A merge patch that lets go of exactly this version of the pod."""
    left = [f for f in pod.metadata.finalizers or () if f != FINALIZER]
    metadata = {"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resourceVersion, "finalizers": left or None}
    return {"metadata": metadata}


def pod_template(job: Any) -> Any:
    """The Job's template as its pods get it; made once for many pods."""
    template = types.copy(job.spec.template)
    finalizers = template.metadata.finalizers or []
    if FINALIZER not in finalizers:
        template.metadata.finalizers = [*finalizers, FINALIZER]
    if job.spec.completionMode == "Indexed":
        for container in (*(template.spec.initContainers or ()), *(template.spec.containers or ())):
            _tell_index(container)
    return template


def _tell_index(container: Any) -> None:
    from kybern.api.core import EnvVar, EnvVarSource, ObjectFieldSelector

    if any(variable.name == ENVIRONMENT for variable in container.env or ()):
        return
    source = EnvVarSource(fieldRef=ObjectFieldSelector(apiVersion="v1", fieldPath=f"metadata.labels['{INDEX}']"))
    container.env = [*(container.env or ()), EnvVar(name=ENVIRONMENT, valueFrom=source)]


def new_pod(job: Any, template: Any, index: int | None, failures: tuple[int, int] | None) -> Any:
    """A pod of the Job. `failures`: how often its index failed, (counted, ignored), where that is limited."""
    pod = pod_from_template(job, template)
    if index is None:
        return pod
    name, metadata = job.metadata.name, pod.metadata
    metadata.annotations = {**(metadata.annotations or {}), INDEX: str(index)}
    metadata.labels = {**(metadata.labels or {}), INDEX: str(index)}
    if failures is not None:
        metadata.annotations[FAILURES] = str(failures[0])
        if failures[1]:
            metadata.annotations[IGNORED] = str(failures[1])
    ending = f"-{index}-"
    metadata.generateName = name[: GENERATED_MAX - len(ending)] + ending
    # The containers are shared by all pods of a burst, the spec itself is the pod's own.
    pod.spec = copy.copy(pod.spec)
    pod.spec.hostname = f"{name}-{index}"
    return pod


def finished_at(pod: Any) -> float:
    """When the pod ended: its last container, else when it ceased to be ready, else when it was told to go."""
    ends = _container_ends(pod)
    if ends and all(ends):
        return max(parse_time(end) for end in ends)
    ready = pod_condition(pod, "Ready")
    if ready is not None and ready.status == "False" and ready.lastTransitionTime:
        return parse_time(ready.lastTransitionTime)
    metadata = pod.metadata
    if metadata.deletionTimestamp:
        return parse_time(metadata.deletionTimestamp) - (metadata.deletionGracePeriodSeconds or 0)
    return parse_time(metadata.creationTimestamp)


def _container_ends(pod: Any) -> list[str]:
    """The end of every container and sidecar, "" for one that has none."""
    sidecars = {c.name for c in pod.spec.initContainers or () if c.restartPolicy == "Always"}
    statuses = [*(pod.status.containerStatuses or ())]
    statuses += [s for s in pod.status.initContainerStatuses or () if s.name in sidecars]
    states = [status.state.terminated if status.state is not None else None for status in statuses]
    return [(state.finishedAt or "") if state is not None else "" for state in states]
