"""CronJob: resource `cronjobs` of batch/v1."""

from __future__ import annotations

from typing import Any

from kybern.api.batch import schedule
from kybern.api.batch.job import default_failure_policy
from kybern.api.batch.jobspec import validate_job_spec, warnings_of_job_spec
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind, Subresource
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, NONE, UNSET, age, selector
from kybern.api.validation import names

SPEC = Path("spec")
JOB = SPEC.child("jobTemplate", "spec")
CONCURRENCY = ("Allow", "Forbid", "Replace")
NAME_MAX = 52
"""A Job's name is the CronJob's and eleven characters for the time; together a DNS label."""


def default(obj: Any) -> None:
    """Runs may overlap; three good and one failed Job are kept."""
    spec = obj.spec
    default_template(spec.jobTemplate.spec.template)
    default_failure_policy(spec.jobTemplate.spec)
    spec.concurrencyPolicy = spec.concurrencyPolicy or "Allow"
    spec.suspend = bool(spec.suspend)
    if spec.successfulJobsHistoryLimit is None:
        spec.successfulJobsHistoryLimit = 3
    if spec.failedJobsHistoryLimit is None:
        spec.failedJobsHistoryLimit = 1


def validate(obj: Any, errors: Errors) -> None:
    """Schedule, time zone, limits and the Job to be."""
    spec = obj.spec
    if not spec.schedule:
        errors.required(SPEC.child("schedule"))
    else:
        _validate_schedule(errors, spec)
    workload.not_negative(errors, SPEC, spec, "startingDeadlineSeconds")
    if spec.timeZone is not None:
        _validate_time_zone(errors, SPEC.child("timeZone"), spec.timeZone)
    if not spec.concurrencyPolicy:
        errors.required(SPEC.child("concurrencyPolicy"))
    elif spec.concurrencyPolicy not in CONCURRENCY:
        errors.not_supported(SPEC.child("concurrencyPolicy"), spec.concurrencyPolicy, CONCURRENCY)
    _validate_job_template(errors, spec.jobTemplate.spec)
    workload.not_negative(errors, SPEC, spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    if len(obj.metadata.name or "") > NAME_MAX:
        errors.invalid("metadata.name", obj.metadata.name, names.too_long(NAME_MAX))


def _validate_schedule(errors: Errors, spec: Any) -> None:
    text = spec.schedule
    if "TZ" in text:
        errors.invalid(SPEC.child("schedule"), text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
        return
    try:
        schedule.parse(text)
    except ValueError as error:
        errors.invalid(SPEC.child("schedule"), text, str(error))


def _validate_time_zone(errors: Errors, path: Path, zone: str) -> None:
    if not zone:
        errors.invalid(path, zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.invalid(path, zone, text)
    elif not _zone_exists(zone):
        errors.invalid(path, zone, f"unknown time zone {zone}")


def _zone_exists(zone: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _validate_job_template(errors: Errors, spec: Any) -> None:
    validate_job_spec(errors, JOB, spec)
    if spec.selector is not None:
        errors.invalid(JOB.child("selector"), spec.selector, "`selector` will be auto-generated")
    if spec.manualSelector:
        errors.not_supported(JOB.child("manualSelector"), True, ["nil", "false"])


def warn(new: Any, old: Any | None) -> list[str]:
    """Warnings about the name and the template."""
    found = []
    if old is None and (faults := names.dns1123_label(new.metadata.name or "")):
        found.append(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(faults)}]"
        )
    before = old.spec.jobTemplate.spec if old is not None else None
    return found + warnings_of_job_spec(new.spec.jobTemplate.spec, JOB, before)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec, status = obj.spec, obj.status
    return [
        obj.metadata.name,
        spec.schedule,
        spec.timeZone if spec.timeZone is not None else NONE,
        UNSET if spec.suspend is None else str(spec.suspend),
        len(status.active or ()),
        age(status.lastScheduleTime, now) if status.lastScheduleTime else NONE,
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(spec.jobTemplate.spec.template.spec),
        selector(spec.jobTemplate.spec.selector),
    ]


KIND = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    namespaced=True,
    short_names=("cj",),
    categories=("all",),
    subresources=(Subresource("status"),),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    spec_changed=spec_changed,
    warn=warn,
    columns=(
        NAME,
        Column("Schedule", field="CronJobSpec.schedule"),
        Column("Timezone", field="CronJobSpec.timeZone"),
        Column("Suspend", type="boolean", field="CronJobSpec.suspend"),
        Column("Active", type="integer", field="CronJobStatus.active"),
        Column("Last Schedule", field="CronJobStatus.lastScheduleTime"),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", priority=1, field="JobSpec.selector"),
    ),
    row=row,
)
