"""Checks JobSpecs, for Jobs and for the job templates of CronJobs."""

from __future__ import annotations

from typing import Any

from kybern.api import types
from kybern.api.batch.failure_policy import validate_failure_policy, validate_success_policy
from kybern.api.batch.jobstatus import has_condition
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.template import validate_template
from kybern.api.core.podspec.warnings import template_warnings
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = ["validate_job_spec", "validate_job_spec_update", "warnings_of_job_spec"]

MODES = ("NonIndexed", "Indexed")
REPLACEMENTS = ("Failed", "TerminatingOrFailed")
MANY = 100_000
TOO_MANY_TO_TRACK = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
    "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)
NEEDS_INDEXED = "requires indexed completion mode"
ONLY_NEVER = 'only "Never" is supported when podFailurePolicy is specified'


def validate_job_spec(errors: Errors, path: Path, spec: Any) -> None:
    """Everything but the selector."""
    counts = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    workload.not_negative(errors, path, spec, *counts, "backoffLimitPerIndex", "maxFailedIndexes")
    if spec.maxFailedIndexes is not None and spec.backoffLimitPerIndex is None:
        errors.required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified")
    if spec.managedBy is not None:
        names.domain_prefixed_path(errors, path.child("managedBy"), spec.managedBy)
        if len(spec.managedBy) > 63:
            errors.too_long(path.child("managedBy"), 63)
    _validate_mode(errors, path, spec)
    if spec.podFailurePolicy is not None:
        validate_failure_policy(errors, path.child("podFailurePolicy"), spec)
    if spec.successPolicy is not None:
        if spec.completionMode != "Indexed":
            errors.invalid(path.child("successPolicy"), spec.successPolicy, NEEDS_INDEXED)
        else:
            validate_success_policy(errors, path.child("successPolicy"), spec)
    _validate_replacement(errors, path.child("podReplacementPolicy"), spec)
    validate_template(errors, path.child("template"), spec.template)
    _validate_restart_policy(errors, path.child("template", "spec", "restartPolicy"), spec)


def _validate_mode(errors: Errors, path: Path, spec: Any) -> None:
    mode = spec.completionMode
    if mode is not None and mode not in MODES:
        errors.not_supported(path.child("completionMode"), mode, MODES)
    if mode == "Indexed":
        _validate_indexed(errors, path, spec)
    elif mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if getattr(spec, field) is not None:
                errors.invalid(path.child(field), getattr(spec, field), NEEDS_INDEXED)


def _validate_indexed(errors: Errors, path: Path, spec: Any) -> None:
    completions, failed = spec.completions, spec.maxFailedIndexes
    if completions is None:
        errors.required(path.child("completions"), "when completion mode is Indexed")
    if (spec.parallelism or 0) > MANY:
        text = f"must be less than or equal to {MANY} when completion mode is Indexed"
        errors.invalid(path.child("parallelism"), spec.parallelism, text)
    if completions is not None and failed is not None and failed > completions:
        errors.invalid(path.child("maxFailedIndexes"), failed, "must be less than or equal to completions")
    if (failed or 0) > MANY:
        errors.invalid(path.child("maxFailedIndexes"), failed, f"must be less than or equal to {MANY}")
    if (completions or 0) <= MANY or spec.backoffLimitPerIndex is None:
        return
    text = (
        f"must be less than or equal to {MANY // 10} when completions are above {MANY} "
        "and used with backoff limit per index"
    )
    if failed is None:
        errors.required(path.child("maxFailedIndexes"), f"must be specified when completions is above {MANY}")
    elif failed > MANY // 10:
        errors.invalid(path.child("maxFailedIndexes"), failed, text)
    if (spec.parallelism or 0) > MANY // 10:
        errors.invalid(path.child("parallelism"), spec.parallelism, text)


def _validate_replacement(errors: Errors, path: Path, spec: Any) -> None:
    policy = spec.podReplacementPolicy
    allowed = REPLACEMENTS if spec.podFailurePolicy is None else ("Failed",)
    if policy is not None and policy not in allowed:
        errors.not_supported(path, policy, allowed)


def _validate_restart_policy(errors: Errors, path: Path, spec: Any) -> None:
    policy = spec.template.spec.restartPolicy
    if policy == "Always":
        errors.required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        errors.not_supported(path, policy or "", ("OnFailure", "Never"))
    elif policy != "Never" and spec.podFailurePolicy is not None:
        errors.invalid(path, policy, ONLY_NEVER)


def validate_job_spec_update(errors: Errors, path: Path, new: Any, old: Any) -> None:
    """What of a Job's spec may still change: parallelism, deadlines, suspension; scheduling while it has not started.

    `new` and `old` are Jobs.
    """
    ours, theirs = new.spec, old.spec
    _validate_completions(errors, path.child("completions"), ours, theirs)
    workload.validate_immutable(errors, path.child("selector"), ours.selector, theirs.selector)
    template = theirs.template
    if _rests(old):
        template = _with_directives(theirs.template, ours.template)
    workload.validate_immutable(errors, path.child("template"), ours.template, template)
    for field in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        workload.validate_immutable(errors, path.child(field), getattr(ours, field), getattr(theirs, field))


def _rests(job: Any) -> bool:
    """Suspended, and no pod of it is left: what the next pods look like may change (KEP-2926, KEP-5440)."""
    never_began = not job.status.startTime
    return bool(job.spec.suspend and not job.status.active and (never_began or has_condition(job, "Suspended")))


def _validate_completions(errors: Errors, path: Path, new: Any, old: Any) -> None:
    """An indexed Job may grow and shrink when completions and parallelism stay equal."""
    if new.completions == old.completions:
        return
    if new.completionMode != "Indexed":
        workload.validate_immutable(errors, path, new.completions, old.completions)
    elif new.completions is None or new.completions != new.parallelism or old.completions != old.parallelism:
        text = "can only be modified in tandem with spec.parallelism"
        errors.invalid(path, new.completions, text)


def _with_directives(old: Any, new: Any) -> Any:
    """The old template with what of the new one may change while the Job rests."""
    allowed = types.copy(old)
    allowed.metadata.labels, allowed.metadata.annotations = new.metadata.labels, new.metadata.annotations
    for field in ("nodeSelector", "tolerations", "schedulingGates"):
        setattr(allowed.spec, field, getattr(new.spec, field))
    before, after = allowed.spec.affinity, new.spec.affinity
    if after is not None:
        merged = types.copy(after)
        for field in ("podAffinity", "podAntiAffinity"):
            setattr(merged, field, getattr(before, field) if before is not None else None)
        allowed.spec.affinity = merged
    elif before is not None:
        before.nodeAffinity = None
        if before.podAffinity is None and before.podAntiAffinity is None:
            allowed.spec.affinity = None
    for field in ("containers", "initContainers"):
        pairs = zip(getattr(allowed.spec, field) or (), getattr(new.spec, field) or (), strict=False)
        for mine, theirs in pairs:
            mine.resources = theirs.resources
    return allowed


def warnings_of_job_spec(spec: Any, path: Path, old: Any | None) -> list[str]:
    """What is allowed and unwise about a Job to be."""
    found = []
    if spec.completionMode == "Indexed" and (spec.completions or 0) > MANY and (spec.parallelism or 0) > MANY // 10:
        found.append(f"{path}: {TOO_MANY_TO_TRACK}")
    return found + template_warnings(spec.template, path.child("template"), old.template if old is not None else None)
