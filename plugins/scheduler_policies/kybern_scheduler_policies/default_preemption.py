"""DefaultPreemption: when no node has room for a pod, less important pods are deleted to make some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.api.errors import StatusError
from kybern.api.time import format_time
from kybern.scheduler.diagnosis import fit_message
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Action, Code, CycleState, Handle, Hint, Nomination, Policy, Resource, Status
from kybern.scheduler.preemption import (
    NOT_HELPFUL,
    Candidate,
    best_candidate,
    disruption_condition,
    find_candidates,
    lesser_nominated,
    not_eligible,
)
from kybern_scheduler_policies.resource_scoring import only_fields


class DefaultPreemption(Policy):
    """Chooses a node and victims, nominates the pod to the node and deletes the victims beside the scheduling loop."""

    name = "DefaultPreemption"
    default = True

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """DefaultPreemptionArgs: minCandidateNodesPercentage, minCandidateNodesAbsolute."""
        super().__init__(args, handle)
        only_fields(args, {"minCandidateNodesPercentage", "minCandidateNodesAbsolute"}, "DefaultPreemptionArgs")
        self._percentage = _given(args, "minCandidateNodesPercentage", 10)
        self._absolute = _given(args, "minCandidateNodesAbsolute", 100)
        if not 0 <= self._percentage <= 100:
            raise ValueError(f"minCandidateNodesPercentage: {self._percentage} must be between 0 and 100")
        if self._absolute < 0 or self._percentage == self._absolute == 0:
            raise ValueError("minCandidateNodesAbsolute: must be positive, or minCandidateNodesPercentage must be")
        from kybern.api.policy import PodDisruptionBudget

        self._budgets = handle.informer(PodDisruptionBudget)
        self._preempting: set[str] = set()
        self._held: set[str] = set()

    def hints(self) -> Iterable[Hint]:
        """A pod that leaves."""
        return (Hint(Resource.ASSIGNED_POD, Action.DELETE),)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """Hold a pod back while its victims are being deleted: a cycle now would only choose others."""
        if pod.uid not in self._preempting:
            return None
        self._held.add(pod.uid)
        return self.unschedulable("waiting for the preemption for this pod to be finished")

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status], absent: Status
    ) -> tuple[Nomination | None, Status | None]:
        """Find the node where making room hurts least."""
        snapshot = self.handle.snapshot
        nominated = self.handle.nominator.node_of(pod.uid)
        why_not = not_eligible(pod, snapshot.by_name.get(nominated), statuses.get(nominated, absent))
        if why_not:
            return None, self.unschedulable(f"preemption: {why_not}")
        if absent.code is Code.UNSCHEDULABLE:
            possible = [n for n in snapshot.nodes if statuses.get(n.name, absent).code is Code.UNSCHEDULABLE]
        else:
            possible = [
                snapshot.by_name[name] for name, status in statuses.items() if status.code is Code.UNSCHEDULABLE
            ]
        candidates, failed = self._candidates(state, pod, possible)
        if not candidates:
            text = fit_message(len(snapshot.nodes), failed, NOT_HELPFUL)
            return Nomination(""), self.unschedulable(f"preemption: {text}")
        chosen = best_candidate(candidates)
        self._make_room(chosen, pod)
        return Nomination(chosen.node), None

    def _candidates(
        self, state: CycleState, pod: PodInfo, possible: list[Any]
    ) -> tuple[list[Candidate], dict[str, Status]]:
        if not possible:
            return [], {}
        enough = max(len(possible) * self._percentage // 100, self._absolute)
        offset = self.handle.random.randrange(len(possible))
        return find_candidates(self.handle.filters, state, pod, possible, self._budgets.list(), offset, enough)

    def _make_room(self, chosen: Candidate, pod: PodInfo) -> None:
        for other in lesser_nominated(self.handle.nominator.pods_on(chosen.node), pod.priority):
            self.handle.nominator.remove(other.uid)
            self.handle.activate(other.uid)
            if other.pod.status.nominatedNodeName:
                self.handle.spawn(self._forget_nomination(other.pod))
        victims = [v for v in chosen.victims if not v.pod.metadata.deletionTimestamp]
        if victims:
            self._preempting.add(pod.uid)
            self.handle.spawn(self._preempt(victims, pod, chosen.node))

    async def _forget_nomination(self, pod: Any) -> None:
        meta = pod.metadata
        body = {"metadata": {"uid": meta.uid}, "status": {"nominatedNodeName": None}}
        await self._quietly(
            self.handle.client.patch(type(pod), meta.name, meta.namespace, body, type="merge", subresource="status")
        )

    async def _preempt(self, victims: list[PodInfo], pod: PodInfo, node: str) -> None:
        done = True
        try:
            for victim in victims:
                done = await self._delete(victim, pod, node) and done
        finally:
            self._preempting.discard(pod.uid)
            if not done or pod.uid in self._held:
                self._held.discard(pod.uid)
                self.handle.activate(pod.uid)

    async def _delete(self, victim: PodInfo, pod: PodInfo, node: str) -> bool:
        """Whether the victim is gone or going."""
        if self.handle.reject_waiting(victim.uid, self.name, "preempted"):
            return True
        target, meta = victim.pod, victim.pod.metadata
        client = self.handle.client
        condition = disruption_condition(pod.pod, target, format_time(self.handle.clock.now()))
        if condition is not None:
            body = {"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}}
            patch = client.patch(type(target), meta.name, meta.namespace, body, type="strategic", subresource="status")
            if not await self._quietly(patch):
                return False
        if not await self._quietly(client.delete(type(target), meta.name, meta.namespace, uid=meta.uid)):
            return False
        text = f"Preempted by pod {pod.uid} on node {node}"
        self.handle.events.event(target, "Normal", "Preempted", text, action="Preempting")
        return True

    async def _quietly(self, call: Any) -> bool:
        """Whether the call did what it should; a pod that is gone needs no more. After a conflict, as after any other
        refusal, the preemptor is looked at anew: no event need follow it."""
        try:
            await call
        except StatusError as error:
            return error.code == 404
        return True


def _given(args: Mapping[str, Any], field: str, default: int) -> int:
    value = args.get(field)
    if value is None:
        return default
    if not isinstance(value, int):
        raise ValueError(f"{field}: {value!r} must be a whole number")
    return value
