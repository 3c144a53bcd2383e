"""What every cluster begins with: its namespaces, the Service `kubernetes`, priority classes, flow schemas.

Written through the same verbs as any other object; what exists already is left as it is, except the
endpoints of this server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.apiserver import bootstrap_data as data
from kybern.apiserver.backend import Backend
from kybern.apiserver.operation import Operation
from kybern.apiserver.resource import Resource
from kybern.apiserver.user import User
from kybern.apiserver.verbs.create import create
from kybern.apiserver.verbs.update import update

__all__ = ["ensure_endpoints", "ensure_objects"]

_FLOW_CONTROL = "flowcontrol.apiserver.k8s.io"
_SELF = User("system:apiserver", ("system:masters", "system:authenticated"))


async def ensure_objects(backend: Backend) -> None:
    """Create what is missing. What does not need one another is written together, and so waits for the disk once."""
    await _all(_ensure(backend, "namespaces", "", {"metadata": {"name": name}}) for name in data.NAMESPACES)
    cidr = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [str(backend.services.network)]}}
    wanted = [
        ("services", "", data.kubernetes_service(backend.services.first_address)),
        ("servicecidrs", "networking.k8s.io", cidr),
        *(("priorityclasses", "scheduling.k8s.io", c) for c in data.PRIORITY_CLASSES),
        *(("prioritylevelconfigurations", _FLOW_CONTROL, level) for level in data.priority_levels()),
    ]
    await _all(_ensure(backend, plural, group, one) for plural, group, one in wanted)
    await _all(_ensure_flow_schema(backend, schema) for schema in data.flow_schemas())


async def _all(steps: Iterable[Coroutine[Any, Any, object]]) -> None:
    async with asyncio.TaskGroup() as together:
        for step in steps:
            together.create_task(step)


async def _ensure_flow_schema(backend: Backend, schema: dict[str, Any]) -> None:
    if await _ensure(backend, "flowschemas", _FLOW_CONTROL, schema):
        await _report_level(backend, schema)


async def ensure_endpoints(backend: Backend, address: str, port: int) -> None:
    """Make the Service `kubernetes` lead to this server's address."""
    for plural, group, wanted in (
        ("endpoints", "", data.kubernetes_endpoints(address, port)),
        ("endpointslices", "discovery.k8s.io", data.kubernetes_slice(address, port)),
    ):
        if await _ensure(backend, plural, group, wanted):
            continue
        resource = backend.resources.named(plural, group)
        op = _operation(backend, resource, wanted)
        fields = {k: v for k, v in wanted.items() if k != "metadata"}
        await update(backend, resource, op, _setting(resource, fields), blind=True)


async def _report_level(backend: Backend, schema: dict[str, Any]) -> None:
    """A flow schema tells whether the priority level that it names is there; these all are."""
    resource = backend.resources.named("flowschemas", _FLOW_CONTROL)
    op = _operation(backend, resource, schema)
    op.subresource = "status"
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    condition = {
        "type": "Dangling",
        "status": "False",
        "reason": "Found",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" and it exists',
        "lastTransitionTime": format_time(op.now),
    }
    await update(backend, resource, op, _setting(resource, {"status": {"conditions": [condition]}}), blind=True)


def _setting(resource: Resource, fields: dict[str, Any]) -> Any:
    def change(current: Any) -> Any:
        return types.from_plain(resource.struct, types.to_plain(current) | fields)

    return change


def _operation(backend: Backend, resource: Resource, wanted: dict[str, Any]) -> Operation:
    metadata = wanted["metadata"]
    namespace = metadata.get("namespace", "default") if resource.kind.namespaced else ""
    return Operation(_SELF, backend.clock.now(), namespace, metadata["name"])


async def _ensure(backend: Backend, plural: str, group: str, wanted: dict[str, Any]) -> bool:
    """Create it unless it is there; whether it was created."""
    resource = backend.resources.find(group, "v1", plural)
    if resource is None:
        return False
    op = _operation(backend, resource, wanted)
    if resource.cache.get(op.namespace, op.name) is not None:
        return False
    try:
        await create(backend, resource, op, types.from_plain(resource.struct, wanted))
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        return False
    return True
