"""A scheduling profile: the policies chosen for one `schedulerName`, run extension point by extension point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from kybern.scheduler.diagnosis import NO_NODES_POLICY
from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import SKIP, Action, Code, CycleState, Handle, Hint, Nomination, Policy, Resource, Status
from kybern.scheduler.snapshot import Candidates, Snapshot

__all__ = ["PolicyFailure", "Profile", "overrides", "signed"]


class PolicyFailure(Exception):
    """A policy failed at something that is not a verdict on the pod; the pod is tried again."""


def overrides(policy: Policy, method: str) -> bool:
    """Whether the policy has an opinion at an extension point."""
    return getattr(type(policy), method) is not getattr(Policy, method)


class Profile:
    """Policies by extension point, in order. Built by `config` from what the user enabled and weighed."""

    def __init__(
        self,
        name: str,
        points: Mapping[str, Sequence[Policy]],
        weights: Mapping[str, int],
        handle: Handle,
        percentage_of_nodes: int | None = None,
    ) -> None:
        """`points`: for each extension point (a Policy method's name) the policies that take part in it."""
        self.name = name
        self.percentage_of_nodes = percentage_of_nodes
        self.pre_enqueue = points["pre_enqueue"]
        self.pre_filters = points["pre_filter"]
        self.filters = points["filter"]
        self.post_filters = points["post_filter"]
        self.pre_scores = points["pre_score"]
        self.scorers = [(p, weights.get(p.name, p.weight)) for p in points["score"]]
        self.reservers = points["reserve"]
        self.permits = points["permit"]
        self.pre_binds = points["pre_bind"]
        self.binds = points["bind"]
        self.post_binds = points["post_bind"]
        self.policies = {p.name: p for chosen in points.values() for p in chosen}
        self._sort_key: Callable[[PodInfo, float], Any] = points["sort_key"][0].sort_key
        self._hints = {p.name: tuple(p.hints()) for p in self.policies.values()}
        self._hints[NO_NODES_POLICY] = (Hint(Resource.NODE, Action.ADD),)
        self._what_if = [p for p in self.pre_filters if overrides(p, "add_pod") or overrides(p, "remove_pod")]
        self._handle = handle

    def sort_key(self, pod: PodInfo, queued_at: float) -> Any:
        """The queue's order."""
        return self._sort_key(pod, queued_at)

    def hints(self, policy: str) -> Sequence[Hint]:
        """Events that a policy of this profile wants."""
        return self._hints.get(policy, ())

    def pre_filter(
        self, state: CycleState, pod: PodInfo, snapshot: Snapshot
    ) -> tuple[set[str] | None, list[str], Status | None]:
        """(names of the nodes to look at or None for all, policies that narrowed them, objection)."""
        names: set[str] | None = None
        narrowed: list[str] = []
        for policy in self.pre_filters:
            answer = policy.pre_filter(state, pod, snapshot)
            if answer is None:
                continue
            if isinstance(answer, set):
                names = answer if names is None else names & answer
                narrowed.append(policy.name)
                if not names:
                    return names, narrowed, _narrowed_to_nothing(narrowed)
            elif answer.code is Code.SKIP:
                state.skip_filter.add(policy.name)
            elif answer.rejected:
                return names, narrowed, signed(answer, policy)
            else:
                raise PolicyFailure(f'running PreFilter plugin "{policy.name}": {answer.message}')
        return names, narrowed, None

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """The first objection to the pod on this node."""
        skip = state.skip_filter
        for policy in self.filters:
            if policy.name in skip:
                continue
            objection = policy.filter(state, pod, info)
            if objection is not None:
                if objection.rejected:
                    return signed(objection, policy)
                raise PolicyFailure(f'running "{policy.name}" filter plugin: {objection.message}')
        return None

    def filter_with_nominated(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """As `filter`; the pod must fit with the pods nominated to the node and without them: they may come or not."""
        nominated = [
            p for p in self._handle.nominator.pods_on(info.name) if p.priority >= pod.priority and p.uid != pod.uid
        ]
        if nominated:
            full_state, full = state.clone(), info.clone()
            for other in nominated:
                self.add_pod(full_state, pod, other, full)
            objection = self.filter(full_state, pod, full)
            if objection is not None:
                return objection
        return self.filter(state, pod, info)

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """As if `other` ran on the node (a clone)."""
        info.add_pod(other)
        for policy in self._what_if:
            if policy.name not in state.skip_filter:
                policy.add_pod(state, pod, other, info)

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """As if `other` had left the node (a clone)."""
        info.remove_pod(other)
        for policy in self._what_if:
            if policy.name not in state.skip_filter:
                policy.remove_pod(state, pod, other, info)

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status], absent: Status
    ) -> tuple[Nomination | None, str]:
        """Let policies make room: (nomination, what to tell the user)."""
        nomination: Nomination | None = None
        messages: list[str] = []
        for policy in self.post_filters:
            found, objection = policy.post_filter(state, pod, statuses, absent)
            nomination = found or nomination
            if objection is None:
                if found is not None:
                    return found, ""
                continue
            if objection.reasons:
                messages.append(objection.message)
            if objection.code is Code.UNRESOLVABLE:
                break
        return nomination, ", ".join(messages)

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> None:
        """Prepare scoring."""
        for policy in self.pre_scores:
            answer = policy.pre_score(state, pod, infos)
            if answer is None:
                continue
            if answer.code is not Code.SKIP:
                raise PolicyFailure(f'running PreScore plugin "{policy.name}": {answer.message}')
            state.skip_score.add(policy.name)

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Take what the pod needs; on an objection everything is given back."""
        for policy in self.reservers:
            objection = policy.reserve(state, pod, node)
            if objection is not None:
                self.unreserve(state, pod, node)
                return signed(objection, policy)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Give back, in reverse order."""
        for policy in reversed(self.reservers):
            policy.unreserve(state, pod, node)

    def permit(self, state: CycleState, pod: PodInfo, node: str) -> tuple[Status | None, dict[str, float]]:
        """(rejection, seconds to wait by policy)."""
        waits: dict[str, float] = {}
        for policy in self.permits:
            answer = policy.permit(state, pod, node)
            if answer is None:
                continue
            if answer.code is not Code.WAIT:
                return signed(answer, policy), {}
            waits[policy.name] = answer.timeout
        return None, waits

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Prepare and write the binding; raises PolicyFailure or what the API server answered."""
        for policy in self.pre_binds:
            objection = await policy.pre_bind(state, pod, node)
            if objection is not None:
                raise PolicyFailure(f'running PreBind plugin "{policy.name}": {objection.message}')
        for policy in self.binds:
            answer = await policy.bind(state, pod, node)
            if answer is None:
                break
            if answer.code is not SKIP.code:
                raise PolicyFailure(f'binding rejected: running Bind plugin "{policy.name}": {answer.message}')
        else:
            raise PolicyFailure("no policy of the profile binds pods")
        for policy in self.post_binds:
            policy.post_bind(state, pod, node)


def signed(objection: Status, policy: Policy) -> Status:
    """The objection with the name of its policy, by whose hints the pod will be woken."""
    return objection if objection.policy else attrs.evolve(objection, policy=policy.name)


def _narrowed_to_nothing(policies: list[str]) -> Status:
    if len(policies) == 1:
        text = f"node(s) didn't satisfy plugin {policies[0]}"
    else:
        text = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(policies))}] simultaneously"
    return Status(Code.UNRESOLVABLE, (text,), policies[-1])
