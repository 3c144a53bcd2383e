"""binding: the scheduler's word that a pod belongs on a node."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.time import format_time
from kybern.apiserver import body
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import plain, success
from kybern.apiserver.handlers import operation
from kybern.apiserver.metadata import check_namespace
from kybern.apiserver.operation import Operation
from kybern.apiserver.options import write_options
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer
from kybern.store.interface import CompareFailed

__all__ = ["Bindings", "bind"]

_TRIES = 10


class Bindings:
    """POST to `pods/x/binding`, or of a Binding to `bindings`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """Answer one request."""
        options = write_options(request.query, "CreateOptions")
        binding = await body.read_object(request, types.struct("", "v1", "Binding"), options.field_validation)
        op = operation(request, options.dry_run, options.field_manager)
        op.subresource = "binding"
        if op.name and binding.metadata.name and op.name != binding.metadata.name:
            raise StatusError.bad_request("name in URL does not match name in Binding object")
        op.name = op.name or binding.metadata.name or ""
        await bind(self._backend, op, binding)
        return plain(201, success(code=201) | {"code": 201})


async def bind(backend: Backend, op: Operation, binding: Any) -> None:
    """Set the pod's node, once; StatusError 409 when it has one."""
    pods = backend.resources.named("pods")
    check_namespace(pods.kind, binding.metadata, op.namespace)
    _check(binding)
    await backend.admission.mutate("CREATE", pods.kind, op, binding, None)
    await backend.admission.validate("CREATE", pods.kind, op, binding, None)
    for left in reversed(range(_TRIES)):
        item = pods.item(op.namespace, op.name)
        _check_pod(item.object, binding)
        if op.dry_run:
            return
        try:
            await pods.cache.update(_bound(item.object, binding, op.now), item.revision)
            return
        except CompareFailed:
            if not left:
                raise StatusError.conflict("pods/binding", "", op.name) from None


def _check(binding: Any) -> None:
    errors = Errors()
    target = binding.target
    kind = target.kind if target is not None else None
    if kind not in (None, "", "Node"):
        errors.not_supported("target.kind", kind, ["Node", "<empty>"])
    if target is None or not target.name:
        errors.required("target.name")
    if errors:
        raise StatusError.invalid("Binding", "", binding.metadata.name or "", errors)


def _check_pod(pod: Any, binding: Any) -> None:
    name, why = pod.metadata.name, ""
    wanted = binding.metadata
    if wanted.uid and wanted.uid != pod.metadata.uid:
        why = f"the UID in the binding ({wanted.uid}) does not match that of the pod ({pod.metadata.uid})"
    elif wanted.resourceVersion and wanted.resourceVersion != pod.metadata.resourceVersion:
        why = f"the pod is at resource version {pod.metadata.resourceVersion}, not {wanted.resourceVersion}"
    elif pod.metadata.deletionTimestamp:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif pod.spec.nodeName:
        why = f'pod {name} is already assigned to node "{pod.spec.nodeName}"'
    elif pod.spec.schedulingGates:
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise StatusError.conflict("pods/binding", "", name, why)


def _bound(pod: Any, binding: Any, now: float) -> Any:
    """The pod on its node. What a binding leaves alone is shared with the stored pod."""
    new = copy(pod)
    new.metadata, new.spec, new.status = copy(pod.metadata), copy(pod.spec), copy(pod.status)
    new.spec.nodeName = binding.target.name
    new.status.nominatedNodeName = None
    for field in ("annotations", "labels"):
        added = getattr(binding.metadata, field)
        if added:
            setattr(new.metadata, field, {**(getattr(new.metadata, field) or {}), **added})
    new.status.conditions = _scheduled(pod.status.conditions or (), now)
    return new


def _scheduled(conditions: Sequence[Any], now: float) -> list[Any]:
    """The conditions with PodScheduled being true."""
    found = list(conditions)
    place = next((i for i, c in enumerate(found) if c.type == "PodScheduled"), len(found))
    make = types.struct("", "v1", "PodCondition")
    condition = copy(found[place]) if place < len(found) else make(type="PodScheduled", status="")
    if condition.status != "True":
        condition.status = "True"
        condition.lastTransitionTime = format_time(now)
    condition.reason = condition.message = None
    found[place : place + 1] = [condition]
    return found
