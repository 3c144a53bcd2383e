"""StatefulSet: resource `statefulsets` of apps/v1."""

from __future__ import annotations

from typing import Any

from kybern.api import apps, core, types
from kybern.api.apps.percent import amount, at_most_all, validate_amount
from kybern.api.core.podspec import workload
from kybern.api.core.podspec.defaults import default_claim_spec, default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.core.podspec.workload import SPEC, TEMPLATE
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.lifecycle import drop_status, keep_other_half, spec_changed
from kybern.api.table import AGE, NAME, age
from kybern.api.validation import names

UPDATE = SPEC.child("updateStrategy")
RETENTION = ("Retain", "Delete")
CHANGEABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_QUOTED = [f"'{field}'" for field in CHANGEABLE]
FORBIDDEN = (
    f"updates to statefulset spec for fields other than {', '.join(_QUOTED[:-1])} and {_QUOTED[-1]} are forbidden"
)


def default(obj: Any) -> None:
    """One replica, pods in order, claims kept."""
    spec = obj.spec
    default_template(spec.template)
    spec.podManagementPolicy = spec.podManagementPolicy or "OrderedReady"
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revisionHistoryLimit is None:
        spec.revisionHistoryLimit = 10
    strategy = spec.updateStrategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
        strategy.rollingUpdate = strategy.rollingUpdate or apps.RollingUpdateStatefulSetStrategy()
    rolling = strategy.rollingUpdate
    if strategy.type == "RollingUpdate" and rolling is not None:
        rolling.partition = rolling.partition or 0
        rolling.maxUnavailable = 1 if rolling.maxUnavailable is None else rolling.maxUnavailable
    _default_retention(spec)
    for claim in spec.volumeClaimTemplates or ():
        claim.apiVersion, claim.kind = "v1", "PersistentVolumeClaim"
        default_claim_spec(claim.spec)
        claim.status.phase = claim.status.phase or "Pending"


def _default_retention(spec: Any) -> None:
    if spec.persistentVolumeClaimRetentionPolicy is None:
        spec.persistentVolumeClaimRetentionPolicy = apps.StatefulSetPersistentVolumeClaimRetentionPolicy()
    policy = spec.persistentVolumeClaimRetentionPolicy
    policy.whenDeleted = policy.whenDeleted or "Retain"
    policy.whenScaled = policy.whenScaled or "Retain"


def validate(obj: Any, errors: Errors) -> None:
    """How pods are made, updated and named; selector, claims and template."""
    spec = obj.spec
    if spec.podManagementPolicy not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        errors.invalid(SPEC.child("podManagementPolicy"), spec.podManagementPolicy, text)
    _validate_update_strategy(errors, spec.updateStrategy)
    _validate_retention(errors, spec.persistentVolumeClaimRetentionPolicy)
    workload.not_negative(errors, SPEC, spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    if spec.ordinals is not None:
        workload.not_negative(errors, SPEC.child("ordinals"), spec.ordinals, "start")
    if spec.serviceName:
        names.add_all(errors, SPEC.child("serviceName"), spec.serviceName, names.dns1123_label(spec.serviceName))
    workload.validate_selector(
        errors, SPEC.child("selector"), spec.selector, "empty selector is invalid for statefulset"
    )
    _validate_claims(errors, spec.volumeClaimTemplates)
    matcher = workload.matcher(spec.selector)
    if matcher is None:
        errors.invalid(SPEC.child("selector"), spec.selector, "")
    else:
        workload.validate_selected_template(errors, TEMPLATE, _with_claims(spec), matcher)
    workload.only_always(errors, TEMPLATE.child("spec"), spec.template.spec, "StatefulSet")


def _validate_update_strategy(errors: Errors, strategy: Any) -> None:
    rolling = strategy.rollingUpdate
    if strategy.type == "OnDelete":
        if rolling is not None:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            errors.invalid(UPDATE.child("rollingUpdate"), _shown(strategy)["RollingUpdate"], text)
    elif strategy.type != "RollingUpdate":
        errors.invalid(UPDATE, _shown(strategy), "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None:
        path = UPDATE.child("rollingUpdate")
        workload.not_negative(errors, path, rolling, "partition")
        if rolling.maxUnavailable is not None:
            validate_amount(errors, path.child("maxUnavailable"), rolling.maxUnavailable)
            if not amount(rolling.maxUnavailable):
                errors.invalid(path.child("maxUnavailable"), rolling.maxUnavailable, "cannot be 0")
            at_most_all(errors, path.child("maxUnavailable"), rolling.maxUnavailable)


def _shown(strategy: Any) -> dict[str, Any]:
    """The strategy as error messages have always shown it: fields by their Go names."""
    rolling = strategy.rollingUpdate
    shown = None if rolling is None else {"Partition": rolling.partition, "MaxUnavailable": rolling.maxUnavailable}
    return {"Type": strategy.type, "RollingUpdate": shown}


def _validate_retention(errors: Errors, policy: Any | None) -> None:
    path = SPEC.child("persistentVolumeClaimRetentionPolicy")
    for field in ("whenDeleted", "whenScaled") if policy is not None else ():
        value = getattr(policy, field)
        if value not in RETENTION:
            errors.not_supported(path.child(field), value or "", RETENTION)


def _validate_claims(errors: Errors, claims: list[Any] | None) -> None:
    from kybern.api.core.persistentvolumeclaim import validate_claim_spec

    for i, claim in enumerate(claims or ()):
        validate_claim_spec(errors, SPEC.child("volumeClaimTemplates").index(i).child("spec"), claim.spec)


def _with_claims(spec: Any) -> Any:
    """The template as its pods will be: each claim template is a volume of its name."""
    claims = spec.volumeClaimTemplates or ()
    if not claims:
        return spec.template
    template = types.copy(spec.template)
    own = {claim.metadata.name or "" for claim in claims}
    volumes = [_claim_volume(name) for name in dict.fromkeys(claim.metadata.name or "" for claim in claims)]
    template.spec.volumes = volumes + [v for v in template.spec.volumes or () if v.name not in own]
    return template


def _claim_volume(name: str) -> Any:
    return core.Volume(name=name, persistentVolumeClaim=core.PersistentVolumeClaimVolumeSource(claimName=name))


def validate_update(new: Any, old: Any, errors: Errors) -> None:
    """Nothing that names pods, claims or the selector changes."""
    fields = [f for f in old.spec.__struct_fields__ if f not in CHANGEABLE]
    if any(getattr(new.spec, f) != getattr(old.spec, f) for f in fields):
        errors.forbidden(SPEC, FORBIDDEN)


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Counts are sound."""
    status = new.status
    parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    workload.not_negative(errors, Path("status"), status, "replicas", *parts, "observedGeneration", "collisionCount")
    workload.check_replicas(errors, status, *parts, more_than_ready="cannot be greater than status.readyReplicas")
    workload.collisions_only_grow(errors, new, old)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    spec = obj.spec
    return [
        obj.metadata.name,
        f"{obj.status.readyReplicas or 0}/{spec.replicas or 0}",
        age(obj.metadata.creationTimestamp, now),
        *containers_and_images(spec.template.spec),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    namespaced=True,
    short_names=("sts",),
    categories=("all",),
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_other_half,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    spec_changed=spec_changed,
    warn=workload.warn,
    name_errors=names.name_dns_label,
    columns=(NAME, Column("Ready", description="Number of the pod with ready state"), AGE, CONTAINERS, IMAGES),
    row=row,
    **workload.SCALED,
)
