"""DefaultBinder: writes the decision to the API server, as a Binding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import CycleState, Hint, Policy, Status


class DefaultBinder(Policy):
    """POSTs to the pod's `binding` subresource."""

    name = "DefaultBinder"
    default = True

    def hints(self) -> Iterable[Hint]:
        """It rejects nobody."""
        return ()

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """The uid makes sure that it is this pod and not a namesake; a conflict means that another was faster."""
        binding, reference, metadata = _structs()
        meta = metadata(name=pod.name, namespace=pod.namespace, uid=pod.pod.metadata.uid)
        body = binding(metadata=meta, target=reference(kind="Node", name=node))
        await self.handle.client.create_subresource(type(pod.pod), pod.name, pod.namespace, "binding", body)
        return None


@cache
def _structs() -> tuple[Any, Any, Any]:
    """Made when the first pod is bound."""
    from kybern.api.core import Binding, ObjectReference
    from kybern.api.meta import ObjectMeta

    return Binding, ObjectReference, ObjectMeta
