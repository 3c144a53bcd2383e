"""Which pods would have to go so that a more important one fits. Decisions only; a policy carries them out.

As upstream decides it: on each node the fewest and least important pods that make room, sparing those
whose PodDisruptionBudget allows no disruption where there is a choice; then the node where that hurts least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import Code, CycleState, Filters, Status

__all__ = [
    "NOT_HELPFUL",
    "NO_VICTIMS",
    "Candidate",
    "best_candidate",
    "disruption_condition",
    "find_candidates",
    "lesser_nominated",
    "not_eligible",
    "victims_on",
]

NO_VICTIMS = Status(Code.UNRESOLVABLE, ("No preemption victims found for incoming pod",))
NOT_HELPFUL = Status(Code.UNRESOLVABLE, ("Preemption is not helpful for scheduling",))
PREEMPTED_REASON = "PreemptionByScheduler"


@attrs.frozen
class Candidate:
    """A node, and the pods that would have to leave it, most important first."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int
    """How many of them a disruption budget protects."""


def not_eligible(pod: PodInfo, nominated: NodeInfo | None, nominated_status: Status | None) -> str:
    """Why the pod may not preempt others now; "" when it may."""
    if pod.pod.spec.preemptionPolicy == "Never":
        return "not eligible due to preemptionPolicy=Never."
    if nominated is None or (nominated_status is not None and nominated_status.code is Code.UNRESOLVABLE):
        return ""
    if any(p.priority < pod.priority and _leaves_for_another(p) for p in nominated.pods.values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def _leaves_for_another(pod: PodInfo) -> bool:
    if not pod.pod.metadata.deletionTimestamp:
        return False
    conditions = pod.pod.status.conditions or ()
    return any(c.type == "DisruptionTarget" and c.status == "True" and c.reason == PREEMPTED_REASON for c in conditions)


def find_candidates(
    filters: Filters,
    state: CycleState,
    pod: PodInfo,
    nodes: Sequence[NodeInfo],
    budgets: Sequence[Any],
    offset: int,
    enough: int,
) -> tuple[list[Candidate], dict[str, Status]]:
    """Candidates among nodes, beginning at `offset`, until there are enough and one of them violates no budget;
    those without violations first. Also why other nodes are none."""
    gentle: list[Candidate] = []
    violating: list[Candidate] = []
    statuses: dict[str, Status] = {}
    for i in range(len(nodes)):
        info = nodes[(offset + i) % len(nodes)]
        found = victims_on(filters, state.clone(), pod, info.clone(), budgets)
        if isinstance(found, Status):
            statuses[info.name] = found
            continue
        (violating if found.violations else gentle).append(found)
        if gentle and len(gentle) + len(violating) >= enough:
            break
    return gentle + violating, statuses


def victims_on(
    filters: Filters, state: CycleState, pod: PodInfo, info: NodeInfo, budgets: Sequence[Any]
) -> Candidate | Status:
    """The least that must go from this node, or why nothing helps. `state` and `info` are clones and get used up."""
    lesser = sorted((p for p in info.pods.values() if p.priority < pod.priority), key=_importance)
    if not lesser:
        return NO_VICTIMS
    for victim in lesser:
        filters.remove_pod(state, pod, victim, info)
    objection = filters.filter_with_nominated(state, pod, info)
    if objection is not None:
        return objection
    protected, free = _by_budget(lesser, budgets)
    victims: list[PodInfo] = []
    violations = 0
    for group in (protected, free):
        for spared in group:
            filters.add_pod(state, pod, spared, info)
            if filters.filter_with_nominated(state, pod, info) is not None:
                filters.remove_pod(state, pod, spared, info)
                victims.append(spared)
                violations += group is protected
    return Candidate(info.name, tuple(sorted(victims, key=_importance)), violations)


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Higher priority first, then who runs longer. A pod that has not started is the least important."""
    return -pod.priority, pod.pod.status.startTime or "~"


def _by_budget(pods: Iterable[PodInfo], budgets: Sequence[Any]) -> tuple[list[PodInfo], list[PodInfo]]:
    """(pods whose eviction would violate a budget, the others), counting each eviction against the budgets."""
    from kybern.api import selectors

    known = [
        (b, selectors.from_label_selector(b.spec.selector), [b.status.disruptionsAllowed or 0])
        for b in budgets
        if b.spec.selector is not None
    ]
    protected: list[PodInfo] = []
    free: list[PodInfo] = []
    for pod in pods:
        violates = False
        for budget, selector, allowed in known:
            if (
                budget.metadata.namespace != pod.namespace
                or not selector.requirements
                or not selector.matches(pod.labels)
            ):
                continue
            if pod.name in (budget.status.disruptedPods or ()):
                continue
            allowed[0] -= 1
            violates = violates or allowed[0] < 0
        (protected if violates else free).append(pod)
    return protected, free


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Fewest violations; then the least important top victim; the smallest sum of priorities; the fewest victims;
    the youngest top victims; then the first."""
    return min(candidates, key=_harm)


def _harm(candidate: Candidate) -> tuple[int, int, int, int, _Latest]:
    victims = candidate.victims
    top = max(p.priority for p in victims)
    # Shifted so that priorities below zero do not make many victims look better than one.
    total = sum(p.priority + 2**31 for p in victims)
    earliest = min(p.pod.status.startTime or "~" for p in victims if p.priority == top)
    return candidate.violations, top, total, len(victims), _Latest(earliest)


class _Latest(str):
    """A time that sorts the later the smaller."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def lesser_nominated(pods: Iterable[PodInfo], priority: int) -> list[PodInfo]:
    """Pods nominated to a node that a more important pod takes over."""
    return [p for p in pods if p.priority < priority]


def disruption_condition(preemptor: Any, victim: Any, now: str) -> Mapping[str, Any] | None:
    """The condition that tells why a victim is deleted; None when it says so already."""
    message = f"{preemptor.spec.schedulerName}: preempting to accommodate a higher priority pod"
    wanted = {"type": "DisruptionTarget", "status": "True", "reason": PREEMPTED_REASON, "message": message}
    for known in victim.status.conditions or ():
        if known.type == "DisruptionTarget" and (known.status, known.reason, known.message) == (
            "True",
            PREEMPTED_REASON,
            message,
        ):
            return None
    if victim.metadata.generation:
        wanted["observedGeneration"] = victim.metadata.generation
    return wanted | {"lastTransitionTime": now}
