"""Pod: resource `pods`. The rules for its spec are in `podspec/`, shared with everything that has a pod template."""

from __future__ import annotations

from typing import Any

from kybern.api import core, types
from kybern.api.core.podspec import containers, defaults, status, update
from kybern.api.core.podspec.label_keys import apply_label_keys
from kybern.api.core.podspec.spec import validate_pod_spec
from kybern.api.core.podspec.table import POD_COLUMNS, pod_row
from kybern.api.core.podspec.template import validate_pod_annotations
from kybern.api.core.podspec.totals import qos_class
from kybern.api.core.podspec.warnings import pod_warnings
from kybern.api.field import Errors, Path
from kybern.api.kind import Kind, Subresource, WriteContext
from kybern.api.table import NAME
from kybern.api.time import format_time

SPEC = Path("spec")
ANNOTATIONS = Path("metadata").child("annotations")
GATED = "Scheduling is blocked due to non-empty scheduling gates"
STREAM = ("create", "get")


def prepare_create(pod: Any, context: WriteContext) -> None:
    """A new pod has not run: it is Pending, and held back when it has scheduling gates."""
    defaults.mirror_service_account(pod.spec)
    pod.status = core.PodStatus(phase="Pending", qosClass=qos_class(pod.spec))
    if pod.spec.schedulingGates:
        condition = core.PodCondition(type="PodScheduled", status="False", reason="SchedulingGated", message=GATED)
        condition.lastTransitionTime = format_time(context.now)
        pod.status.conditions = [condition]
    apply_label_keys(pod)


def prepare_update(new: Any, old: Any, context: WriteContext) -> None:
    """Each path keeps what it may not change."""
    if context.subresource == "status":
        _prepare_status(new, old)
    elif context.subresource == "ephemeralcontainers":
        added = new.spec.ephemeralContainers
        _restore(new, old)
        new.spec.ephemeralContainers = added
    elif context.subresource == "resize":
        _prepare_resize(new, old)
    else:
        defaults.mirror_service_account(new.spec)
        new.status = old.status


def _prepare_status(new: Any, old: Any) -> None:
    new.spec = old.spec
    new.metadata.ownerReferences = old.metadata.ownerReferences
    new.status.qosClass = new.status.qosClass or old.status.qosClass
    status.keep_addresses_together(new.status)


def _restore(new: Any, old: Any) -> None:
    """Make `new` a copy of `old`, but for the revision that the client built on."""
    kept = types.copy(old)
    kept.metadata.resourceVersion = new.metadata.resourceVersion
    for field in ("metadata", "spec", "status"):
        setattr(new, field, getattr(kept, field))


def _prepare_resize(new: Any, old: Any) -> None:
    asked, annotations = new.spec, new.metadata.annotations
    _restore(new, old)
    new.metadata.annotations = annotations
    new.spec.resources = asked.resources
    for field in ("containers", "initContainers"):
        wanted = {container.name: container for container in getattr(asked, field) or ()}
        for container in getattr(new.spec, field) or ():
            if container.name in wanted:
                container.resources = wanted[container.name].resources
                container.resizePolicy = wanted[container.name].resizePolicy


def validate(pod: Any, errors: Errors) -> None:
    """Everything about a pod alone. Only what was never stored can break the rules for new pods."""
    metadata, spec = pod.metadata, pod.spec
    validate_pod_annotations(errors, ANNOTATIONS, metadata.annotations, spec)
    validate_pod_spec(errors, SPEC, spec, is_pod=True, pod_name=metadata.name or "")
    _validate_tokens(errors, spec)
    for field in ("containers", "initContainers"):
        for i, container in enumerate(getattr(spec, field) or ()):
            containers.validate_image_spaces(errors, SPEC.child(field).index(i), container)
    if metadata.resourceVersion:
        return
    if spec.ephemeralContainers:
        errors.forbidden(SPEC.child("ephemeralContainers"), "cannot be set on create")
    if spec.nodeName and spec.schedulingGates:
        errors.forbidden(SPEC.child("nodeName"), "cannot be set until all schedulingGates have been cleared")


def _validate_tokens(errors: Errors, spec: Any) -> None:
    if spec.serviceAccountName:
        return
    for i, volume in enumerate(spec.volumes or ()):
        sources = volume.projected.sources or () if volume.projected is not None else ()
        for j, source in enumerate(sources):
            if source.serviceAccountToken is not None:
                at = SPEC.child("volumes").index(i).child("projected", "sources").index(j).child("serviceAccountToken")
                errors.forbidden(at, "must not be specified when serviceAccountName is not set")


def spec_changed(new: Any, old: Any) -> bool:
    """Whether the desired state is another."""
    return bool(new.spec != old.spec)


KIND = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    namespaced=True,
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("attach", kind="PodAttachOptions", verbs=STREAM),
        Subresource("binding", kind="Binding", verbs=("create",)),
        Subresource("ephemeralcontainers"),
        Subresource("eviction", kind="Eviction", group="policy", version="v1", verbs=("create",)),
        Subresource("exec", kind="PodExecOptions", verbs=STREAM),
        Subresource("log", verbs=("get",)),
        Subresource("portforward", kind="PodPortForwardOptions", verbs=STREAM),
        Subresource("proxy", kind="PodProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        Subresource("resize"),
        Subresource("status"),
    ),
    default=defaults.default_pod,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=update.validate_spec_update,
    validate_status_update=status.validate_status_update,
    validate_subresource={
        "ephemeralcontainers": update.validate_ephemeral_update,
        "resize": update.validate_resize,
    },
    spec_changed=spec_changed,
    warn=pod_warnings,
    selectable={
        "spec.nodeName": lambda pod: pod.spec.nodeName or "",
        "spec.restartPolicy": lambda pod: pod.spec.restartPolicy or "",
        "spec.schedulerName": lambda pod: pod.spec.schedulerName or "",
        "spec.serviceAccountName": lambda pod: pod.spec.serviceAccountName or "",
        "spec.hostNetwork": lambda pod: "true" if pod.spec.hostNetwork else "false",
        "status.phase": lambda pod: pod.status.phase or "",
        "status.podIP": lambda pod: pod.status.podIP or "",
        "status.podIPs": lambda pod: ",".join(address.ip for address in pod.status.podIPs or ()),
        "status.nominatedNodeName": lambda pod: pod.status.nominatedNodeName or "",
    },
    columns=(NAME, *POD_COLUMNS),
    row=pod_row,
    no_grace=False,
)
