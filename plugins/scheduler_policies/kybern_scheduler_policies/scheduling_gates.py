"""SchedulingGates: a pod with `spec.schedulingGates` waits until the last gate is removed (KEP-3521)."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Action, Hint, Policy, Resource, Status


class SchedulingGates(Policy):
    """Keeps gated pods out of the queue."""

    name = "SchedulingGates"
    default = True

    def hints(self) -> Iterable[Hint]:
        """Only the pod's own change can help."""
        return (Hint(Resource.TARGET_POD, Action.UPDATE_POD_GATES_ELIMINATED),)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """Object while there is any gate."""
        gates = pod.pod.spec.schedulingGates
        if not gates:
            return None
        return self.unresolvable(f"waiting for scheduling gates: [{' '.join(g.name for g in gates)}]")
