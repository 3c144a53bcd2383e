"""DefaultBinder: writes the decision to the API server, as a Binding."""

from __future__ import annotations

from collections.abc import Iterable

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
        from kybern.api.core import Binding, ObjectReference, Pod
        from kybern.api.meta import ObjectMeta

        meta = ObjectMeta(name=pod.name, namespace=pod.namespace, uid=pod.pod.metadata.uid)
        binding = Binding(metadata=meta, target=ObjectReference(kind="Node", name=node))
        await self.handle.client.create_subresource(Pod, pod.name, pod.namespace, "binding", binding)
        return None
