"""Job: resource `jobs` of batch/v1."""

from __future__ import annotations

from typing import Any

from kybern.api import batch, meta
from kybern.api.batch.jobspec import validate_job_spec, validate_job_spec_update, warnings_of_job_spec
from kybern.api.batch.jobstatus import has_condition, validate_status_update
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource, WriteContext
from kybern.api.lifecycle import spec_changed
from kybern.api.table import AGE, NAME, age, selector
from kybern.api.time import human_duration, parse_time
from kybern.api.validation import names
from kybern.api.validation.selectors import validate_label_selector

SPEC = Path("spec")
TEMPLATE = SPEC.child("template")
UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
OLD_UID_LABEL = "controller-uid"
OLD_NAME_LABEL = "job-name"
BACKOFF_LIMIT = 6
NO_LIMIT = 2**31 - 1
ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)


def default(obj: Any) -> None:
    """One pod to completion, six retries."""
    spec = obj.spec
    default_template(spec.template)
    if spec.completions is None and spec.parallelism is None:
        spec.completions = 1
    if spec.parallelism is None:
        spec.parallelism = 1
    if spec.backoffLimit is None:
        spec.backoffLimit = BACKOFF_LIMIT if spec.backoffLimitPerIndex is None else NO_LIMIT
    if spec.completionMode is None:
        spec.completionMode = "NonIndexed"
    spec.suspend = bool(spec.suspend)
    spec.manualSelector = bool(spec.manualSelector)
    if spec.podReplacementPolicy is None:
        spec.podReplacementPolicy = "Failed" if spec.podFailurePolicy is not None else "TerminatingOrFailed"
    default_failure_policy(spec)


def default_failure_policy(spec: Any) -> None:
    """A condition pattern without a status means True."""
    for rule in (spec.podFailurePolicy.rules or ()) if spec.podFailurePolicy is not None else ():
        for pattern in rule.onPodConditions or ():
            pattern.status = pattern.status or "True"


def prepare_create(obj: Any, context: WriteContext) -> None:
    """Nothing runs yet; the selector is made from the Job's uid, unless its author takes care of it."""
    obj.status = batch.JobStatus()
    obj.spec.scheduling = None  # alpha: nobody would heed it
    if not obj.spec.manualSelector:
        _generate_selector(obj)
    if not obj.metadata.labels and obj.spec.template.metadata.labels:
        _inherit_labels(obj)


def _generate_selector(obj: Any) -> None:
    template, uid, name = obj.spec.template, obj.metadata.uid or "", obj.metadata.name or ""
    labels = dict(template.metadata.labels or {})
    for key, value in ((UID_LABEL, uid), (NAME_LABEL, name), (OLD_UID_LABEL, uid), (OLD_NAME_LABEL, name)):
        labels.setdefault(key, value)
    template.metadata.labels = labels
    if obj.spec.selector is None:
        obj.spec.selector = meta.LabelSelector()
    obj.spec.selector.matchLabels = {UID_LABEL: uid, **(obj.spec.selector.matchLabels or {})}


def _inherit_labels(obj: Any) -> None:
    """A Job without labels shows its template's. Bad ones are reported once, at the template."""
    labels = obj.spec.template.metadata.labels
    if not any(names.qualified_name(key) or names.label_value(value) for key, value in labels.items()):
        obj.metadata.labels = dict(labels)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    """Spec and status have a path each; a selector left out is the one the Job has."""
    if context.subresource == "status":
        new.spec = old.spec
        return
    new.status = old.status
    new.spec.scheduling = old.spec.scheduling
    if not new.spec.manualSelector and new.spec.selector is None:
        new.spec.selector = old.spec.selector


def validate(obj: Any, errors: Errors) -> None:
    """Generated labels, the spec, and that indexed pods can have host names."""
    spec = obj.spec
    if not spec.manualSelector and spec.selector is not None:
        _validate_generated(errors, obj)
    validate_job_spec(errors, SPEC, spec)
    if spec.selector is None:
        errors.required(SPEC.child("selector"))
    else:
        validate_label_selector(errors, SPEC.child("selector"), spec.selector)
    matcher = workload.matcher(spec.selector)
    found = spec.template.metadata.labels
    if matcher is not None and not matcher.matches(found):
        errors.invalid(TEMPLATE.child("metadata", "labels"), found, workload.NO_MATCH)
    if spec.completionMode == "Indexed" and (spec.completions or 0) > 0:
        hostname = f"{obj.metadata.name or ''}-{spec.completions - 1}"
        if names.dns1123_label(hostname):
            text = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.invalid("metadata.name", obj.metadata.name or "", text)


def _validate_generated(errors: Errors, obj: Any) -> None:
    path, uid, name = TEMPLATE.child("metadata"), obj.metadata.uid or "", obj.metadata.name or ""
    labels = obj.spec.template.metadata.labels or {}
    for key, value in ((OLD_UID_LABEL, uid), (OLD_NAME_LABEL, name), (UID_LABEL, uid), (NAME_LABEL, name)):
        at = path.child("labels").key(key)
        if key not in labels:
            errors.required(at, f"must be '{value}'")
        elif labels[key] != value:
            errors.invalid(at, labels, f"must be '{value}'")
    expected = (obj.spec.selector.matchLabels or {}) in ({UID_LABEL: uid}, {OLD_UID_LABEL: uid})
    if not expected or obj.spec.selector.matchExpressions:
        errors.invalid(SPEC.child("selector"), obj.spec.selector, "`selector` not auto-generated")


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """A Job is one piece of work: what it runs does not change."""
    validate_job_spec_update(errors, SPEC, new, old)


def warn(new: Any, old: Any | None) -> list[str]:
    """Warnings about the name and the template."""
    found = []
    if (
        old is None
        and new.spec.completionMode != "Indexed"
        and (faults := names.dns1123_label(new.metadata.name or ""))
    ):
        found.append(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(faults)}]"
        )
    return found + warnings_of_job_spec(new.spec, SPEC, old.spec if old is not None else None)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    return [
        obj.metadata.name,
        _status_text(obj),
        _completions_text(obj),
        _duration_text(obj.status, now),
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(obj.spec.template.spec),
        selector(obj.spec.selector),
    ]


def _status_text(obj: Any) -> str:
    if has_condition(obj, "Complete"):
        return "Complete"
    if has_condition(obj, "Failed"):
        return "Failed"
    if obj.metadata.deletionTimestamp:
        return "Terminating"
    return next(
        (type_ for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if has_condition(obj, type_)),
        "Running",
    )


def _completions_text(obj: Any) -> str:
    done, parallelism = obj.status.succeeded or 0, obj.spec.parallelism or 0
    if obj.spec.completions is not None:
        return f"{done}/{obj.spec.completions}"
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration_text(status: Any, now: float) -> str:
    if not status.startTime:
        return ""
    end = parse_time(status.completionTime) if status.completionTime else now
    return human_duration(end - parse_time(status.startTime))


KIND = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    namespaced=True,
    categories=("all",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    orphans=ORPHANS,
    spec_changed=spec_changed,
    warn=warn,
    selectable={"status.successful": lambda obj: str(obj.status.succeeded or 0)},
    columns=(
        NAME,
        Column("Status", description="Status of the job."),
        Column("Completions", field="JobStatus.succeeded"),
        Column("Duration", description="Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", priority=1, field="JobSpec.selector"),
    ),
    row=row,
)
